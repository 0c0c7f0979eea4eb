/** Wire names, once: read by the server that serves them and the client that calls them. */
export const ROUTES = {
  push: { method: 'POST', path: '/sync/push', scope: 'write' },
  pull: { method: 'POST', path: '/sync/pull', scope: 'read' },
  read: { method: 'POST', path: '/sync/read', scope: 'read' },
  hydrate: { method: 'GET', path: '/sync/hydrate', scope: 'read' },
  batch: { method: 'POST', path: '/sync/batch', scope: 'write' },
  status: { method: 'GET', path: '/sync/status', scope: 'read' },
  schema: { method: 'GET', path: '/sync/schema', scope: 'read' },
  putSchema: { method: 'PUT', path: '/sync/schema', scope: 'write' },
  devices: { method: 'GET', path: '/sync/devices', scope: 'devices' },
  registerDevice: { method: 'POST', path: '/sync/devices', scope: 'devices' },
  renameDevice: { method: 'PATCH', path: '/sync/devices/:id', scope: 'devices' },
  deregisterDevice: { method: 'DELETE', path: '/sync/devices/:id', scope: 'devices' },
  healthz: { method: 'GET', path: '/healthz', scope: 'public' },
  readyz: { method: 'GET', path: '/readyz', scope: 'public' },
  openapi: { method: 'GET', path: '/openapi.json', scope: 'public' },
  page: { method: 'GET', path: '/', scope: 'public' },
} as const satisfies { readonly [name: string]: Route }

export interface Route {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  readonly path: string
  readonly scope: Scope | 'public'
}

export const SCOPES = ['read', 'write', 'devices'] as const
export type Scope = (typeof SCOPES)[number]

/** Request headers of ours; lower case as Node gives them. */
export const HEADERS = {
  protocol: 'tidemark-protocol',
  device: 'tidemark-device',
  /** Where a broken hydrate goes on: a `HydratePlace` as base64url JSON. */
  resume: 'tidemark-resume',
} as const

export const NDJSON = 'application/x-ndjson'
/** Content encodings both sides read, best first. */
export const ENCODINGS = ['zstd', 'gzip'] as const
