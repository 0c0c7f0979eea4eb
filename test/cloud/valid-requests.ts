import type { ApiRoute } from '../../src/cloud/handler/contract.ts'
import { pushBody, put } from './requests.ts'

export interface ValidRequest {
  /** With `:id` filled in. */
  readonly path: string
  readonly body?: object
  /** Whether the request names a space. */
  readonly names: 'space' | 'account' | 'default space'
}

const CURSOR = { epoch: 'e', generation: 'g', version: 0, high: 0 }

/** One request for each route that is answered 200 with the right token and cursor. A new route must be added here. */
export const validRequests = (
  cursor: typeof CURSOR = CURSOR,
): { readonly [R in ApiRoute]: ValidRequest } => ({
  push: { path: '/sync/push', body: pushBody(1, [put(9)], { replica: 'replica-x' }), names: 'space' },
  pull: { path: '/sync/pull', body: { space: 'main', replica: 'replica-b', cursor }, names: 'space' },
  read: {
    path: '/sync/read',
    body: { space: 'main', records: [{ table: 'city', key: '[1]' }] },
    names: 'space',
  },
  hydrate: { path: '/sync/hydrate?space=main&replica=replica-b', names: 'space' },
  batch: { path: '/sync/batch', body: { city: [{ id: 77 }] }, names: 'default space' },
  status: { path: '/sync/status?space=main', names: 'space' },
  schema: { path: '/sync/schema?space=main', names: 'space' },
  putSchema: {
    path: '/sync/schema',
    body: { space: 'main', replica: 'replica-x', tables: [] },
    names: 'space',
  },
  devices: { path: '/sync/devices', names: 'account' },
  registerDevice: {
    path: '/sync/devices',
    body: { id: 'new', name: 'New', platform: 'linux' },
    names: 'account',
  },
  renameDevice: { path: '/sync/devices/laptop', body: { name: 'Renamed' }, names: 'account' },
  deregisterDevice: { path: '/sync/devices/laptop', names: 'account' },
})
