// The same flows as in openid_client.mjs, by oauth4webapi, which checks each answer by itself. See session.mjs.

import * as oauth from 'oauth4webapi';

import { hear, play, settings, tell } from './session.mjs';

const { issuer, client_id, client_secret: secret, redirect_uri: redirectUri, scope, resource } = settings;
const client = { client_id };
const authentication = secret ? oauth.ClientSecretBasic(secret) : oauth.None();

async function discovered() {
  const url = new URL(issuer);
  return oauth.processDiscoveryResponse(url, await oauth.discoveryRequest(url, { algorithm: 'oauth2' }));
}

async function dpop() {
  return oauth.DPoP(client, await oauth.generateKeyPair('ES256'));
}

/** Ask, and once more where the server gave a nonce. */
async function twice(request) {
  try {
    return await request();
  } catch (error) {
    if (!oauth.isDPoPNonceError(error)) throw error;
    return request();
  }
}

function ask(token, DPoP) {
  return twice(async () => {
    const answer = await oauth.protectedResourceRequest(token, 'GET', new URL(resource), undefined, null, { DPoP });
    return { status: answer.status, body: await answer.json() };
  });
}

function shown({ access_token, refresh_token, token_type, expires_in, scope: granted }) {
  return { access_token, refresh_token, token_type, expires_in, scope: granted };
}

async function code() {
  const as = await discovered();
  const DPoP = await dpop();
  const verifier = oauth.generateRandomCodeVerifier();
  const state = oauth.generateRandomState();
  const parameters = new URLSearchParams({
    client_id,
    response_type: 'code',
    redirect_uri: redirectUri,
    scope,
    state,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
  });
  const pushed = await twice(async () => oauth.processPushedAuthorizationResponse(
    as, client, await oauth.pushedAuthorizationRequest(as, client, authentication, parameters, { DPoP }),
  ));
  const url = new URL(as.authorization_endpoint);
  url.search = new URLSearchParams({ client_id, request_uri: pushed.request_uri });
  tell({ authorization_url: url.href });
  const { callback } = await hear();
  const answered = oauth.validateAuthResponse(as, client, new URL(callback), state);
  const tokens = await twice(async () => oauth.processAuthorizationCodeResponse(
    as, client,
    await oauth.authorizationCodeGrantRequest(as, client, authentication, answered, redirectUri, verifier, { DPoP }),
  ));
  tell({ tokens: shown(tokens), resource: await ask(tokens.access_token, DPoP) });
  const fresh = await twice(async () => oauth.processRefreshTokenResponse(
    as, client, await oauth.refreshTokenGrantRequest(as, client, authentication, tokens.refresh_token, { DPoP }),
  ));
  tell({ tokens: shown(fresh), resource: await ask(fresh.access_token, DPoP) });
  await oauth.processRevocationResponse(
    await oauth.revocationRequest(as, client, authentication, fresh.refresh_token),
  );
  tell({ revoked: await ask(fresh.access_token, DPoP).catch((error) => ({ status: error.status })) });
}

async function device() {
  const as = await discovered();
  const DPoP = await dpop();
  const answer = await oauth.processDeviceAuthorizationResponse(
    as, client, await oauth.deviceAuthorizationRequest(as, client, authentication, new URLSearchParams({ scope })),
  );
  tell({ user_code: answer.user_code, verification_uri: answer.verification_uri, complete: answer.verification_uri_complete });
  for (let interval = answer.interval ?? 5; ;) {
    await new Promise((resolve) => { setTimeout(resolve, interval * 1000); });
    try {
      const tokens = await twice(async () => oauth.processDeviceCodeResponse(
        as, client, await oauth.deviceCodeGrantRequest(as, client, authentication, answer.device_code, { DPoP }),
      ));
      tell({ tokens: shown(tokens), resource: await ask(tokens.access_token, DPoP) });
      return;
    } catch (error) {
      if (error.error === 'slow_down') interval += 5;
      else if (error.error !== 'authorization_pending') throw error;
    }
  }
}

async function credentials() {
  const as = await discovered();
  const parameters = new URLSearchParams({ scope });
  const tokens = await oauth.processClientCredentialsResponse(
    as, client, await oauth.clientCredentialsGrantRequest(as, client, authentication, parameters),
  );
  const introspected = async () => oauth.processIntrospectionResponse(
    as, client, await oauth.introspectionRequest(as, client, authentication, tokens.access_token),
  );
  tell({ tokens: shown(tokens), introspected: await introspected() });
  await oauth.processRevocationResponse(
    await oauth.revocationRequest(as, client, authentication, tokens.access_token),
  );
  tell({ introspected: await introspected() });
}

await play({ code, device, credentials });
