// oidc-provider as an authorization server for attested clients, in DPoP combined mode.
//
// argv[2]: {"port", "certificate", "key", "client_id", "issuer", "keys"}, where keys is a JWK set; prints {"ready"}.

import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';

import { createLocalJWKSet } from 'jose';
import Provider from 'oidc-provider';

const settings = JSON.parse(process.argv[2]);
const keys = createLocalJWKSet(settings.keys);
const origin = `https://localhost:${settings.port}`;
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const provider = new Provider(origin, {
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), alg: 'ES256', use: 'sig' }] },
  clientAuthMethods: ['attest_jwt_client_auth_dpop'],
  clients: [{
    client_id: settings.client_id,
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
    token_endpoint_auth_method: 'attest_jwt_client_auth_dpop',
    id_token_signed_response_alg: 'ES256',
  }],
  features: {
    attestClientAuth: {
      enabled: true,
      ack: settings.ack,
      challengeSecret: randomBytes(32),
      getAttestationSignaturePublicKey(ctx, header, payload) {
        if (payload.iss !== settings.issuer) throw new Error('another issuer');
        return keys(header);
      },
    },
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    dPoP: { enabled: true, nonceSecret: randomBytes(32), requireNonce: () => true },
  },
});
provider.on('server_error', (_ctx, error) => process.stderr.write(`${error.stack}\n`));
const options = { cert: readFileSync(settings.certificate), key: readFileSync(settings.key) };
createServer(options, provider.callback()).listen(
  settings.port,
  '127.0.0.1',
  () => process.stdout.write('{"ready": true}\n'),
);
