// oidc-provider as an authorization server for client credentials: ES256 JWT access tokens, its state in SQLite.
//
// argv[2]: {"port", "certificate", "key", "database", "client_id", "client_secret", "scope"}; prints "ready".

import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { DatabaseSync } from 'node:sqlite';

import Provider from 'oidc-provider';

const settings = JSON.parse(process.argv[2]);
const database = new DatabaseSync(settings.database);
database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL');
database.exec('CREATE TABLE entries (model TEXT, id TEXT, payload TEXT, expires_at INTEGER, PRIMARY KEY (model, id))');
const upsert = database.prepare('INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?)');
const find = database.prepare('SELECT payload FROM entries WHERE model = ? AND id = ?');
const destroy = database.prepare('DELETE FROM entries WHERE model = ? AND id = ?');

class Adapter {
  constructor(model) { this.model = model; }

  async upsert(id, payload, expiresIn) {
    upsert.run(this.model, id, JSON.stringify(payload), Math.floor(Date.now() / 1000) + (expiresIn ?? 0));
  }

  async find(id) {
    const row = find.get(this.model, id);
    return row && JSON.parse(row.payload);
  }

  async destroy(id) { destroy.run(this.model, id); }
}

await new Adapter('Client').upsert(settings.client_id, {
  client_id: settings.client_id,
  client_secret: settings.client_secret,
  grant_types: ['client_credentials'],
  redirect_uris: [],
  response_types: [],
  token_endpoint_auth_method: 'client_secret_basic',
  id_token_signed_response_alg: 'ES256',
});

const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const origin = `https://localhost:${settings.port}`;
const provider = new Provider(origin, {
  adapter: Adapter,
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), alg: 'ES256', use: 'sig' }] },
  clientAuthMethods: ['client_secret_basic'],
  scopes: [settings.scope],
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => origin,
      getResourceServerInfo: () => ({
        scope: settings.scope,
        audience: origin,
        accessTokenFormat: 'jwt',
        accessTokenTTL: 600,
        jwt: { sign: { alg: 'ES256' } },
      }),
    },
  },
});
const options = { cert: readFileSync(settings.certificate), key: readFileSync(settings.key) };
createServer(options, provider.callback()).listen(settings.port, '127.0.0.1', () => process.stdout.write('ready\n'));
