// openid-client's own way through each flow of an authorization server. See session.mjs.

import * as client from 'openid-client';

import { hear, play, settings, tell } from './session.mjs';

const { issuer, client_id: clientId, client_secret: secret, redirect_uri: redirectUri, scope, resource } = settings;

async function discovered() {
  const authentication = secret ? client.ClientSecretBasic(secret) : client.None();
  return client.discovery(new URL(issuer), clientId, undefined, authentication, { algorithm: 'oauth2' });
}

async function dpopOf(config) {
  return client.getDPoPHandle(config, await client.randomDPoPKeyPair('ES256'));
}

async function ask(config, token, DPoP) {
  const answer = await client.fetchProtectedResource(config, token, new URL(resource), 'GET', null, undefined, { DPoP });
  return { status: answer.status, body: await answer.json() };
}

function shown(tokens) {
  const { access_token, refresh_token, token_type, expires_in, scope: granted } = tokens;
  return { access_token, refresh_token, token_type, expires_in, scope: granted };
}

async function code() {
  const config = await discovered();
  const DPoP = await dpopOf(config);
  const pkceCodeVerifier = client.randomPKCECodeVerifier();
  const expectedState = client.randomState();
  const parameters = {
    redirect_uri: redirectUri,
    scope,
    state: expectedState,
    code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier),
    code_challenge_method: 'S256',
  };
  const url = await client.buildAuthorizationUrlWithPAR(config, parameters, { DPoP });
  tell({ authorization_url: url.href });
  const { callback } = await hear();
  const tokens = await client.authorizationCodeGrant(
    config, new URL(callback), { pkceCodeVerifier, expectedState }, undefined, { DPoP },
  );
  tell({ tokens: shown(tokens), resource: await ask(config, tokens.access_token, DPoP) });
  const fresh = await client.refreshTokenGrant(config, tokens.refresh_token, undefined, { DPoP });
  tell({ tokens: shown(fresh), resource: await ask(config, fresh.access_token, DPoP) });
  await client.tokenRevocation(config, fresh.refresh_token);
  tell({ revoked: await ask(config, fresh.access_token, DPoP).catch((error) => ({ status: error.status })) });
}

async function device() {
  const config = await discovered();
  const DPoP = await dpopOf(config);
  const answer = await client.initiateDeviceAuthorization(config, { scope });
  tell({ user_code: answer.user_code, verification_uri: answer.verification_uri, complete: answer.verification_uri_complete });
  const tokens = await client.pollDeviceAuthorizationGrant(config, answer, undefined, { DPoP });
  tell({ tokens: shown(tokens), resource: await ask(config, tokens.access_token, DPoP) });
}

async function credentials() {
  const config = await discovered();
  const tokens = await client.clientCredentialsGrant(config, { scope });
  tell({ tokens: shown(tokens), introspected: await client.tokenIntrospection(config, tokens.access_token) });
  await client.tokenRevocation(config, tokens.access_token);
  tell({ introspected: await client.tokenIntrospection(config, tokens.access_token) });
}

await play({ code, device, credentials });
