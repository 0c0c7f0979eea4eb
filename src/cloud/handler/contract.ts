import type { TSchema } from 'typebox'

import { BatchAnswer, BatchRequest } from '../../protocol/batch.ts'
import {
  HydrateEnd,
  HydrateRead,
  HydrateQuery,
  HydrateStart,
  PullAnswer,
  PullRequest,
  ReadAnswer,
  ReadRequest,
} from '../../protocol/pull.ts'
import { PushAnswer, PushRequest } from '../../protocol/push.ts'
import { WireRecord } from '../../protocol/records.ts'
import { ROUTES } from '../../protocol/routes.ts'
import { SchemaAnswer, SchemaRequest } from '../../protocol/schema.ts'
import {
  Device,
  DeviceAnswer,
  DeviceInput,
  DeviceList,
  DeviceRename,
  SpaceQuery,
  SpaceStatus,
} from '../../protocol/status.ts'

/** Routes that need a token: all that the handler answers. */
export type ApiRoute = {
  [R in keyof typeof ROUTES]: (typeof ROUTES)[R]['scope'] extends 'public' ? never : R
}[keyof typeof ROUTES]

export const API_ROUTES = (Object.keys(ROUTES) as (keyof typeof ROUTES)[]).filter(
  (route): route is ApiRoute => ROUTES[route].scope !== 'public',
)

export interface RouteContract {
  readonly summary: string
  readonly description: string
  readonly body?: TSchema
  readonly query?: TSchema
  /** One JSON object, or for a hydrate the three kinds of lines. */
  readonly answer: TSchema | readonly TSchema[]
}

/** What goes into and comes out of each route: checked by the handler, printed by the API page. */
export const CONTRACT = {
  push: {
    summary: 'Send changes',
    description:
      'Applies one mutation of a replica whole. The same mutation may be sent any number of times.',
    body: PushRequest,
    answer: PushAnswer,
  },
  pull: {
    summary: 'Read changes',
    description:
      'Records above the cursor, in commit order. With `wait` the answer is held back until there is something.',
    body: PullRequest,
    answer: PullAnswer,
  },
  read: {
    summary: 'Read named records',
    description: 'Records as they are now; null where the cloud has none.',
    body: ReadRequest,
    answer: ReadAnswer,
  },
  hydrate: {
    summary: 'Read a whole space',
    description:
      'Lines of JSON: a start, every live record in (table, key) order, an end. A stream without an end is not whole.',
    query: HydrateQuery,
    answer: [HydrateStart, HydrateRead, WireRecord, HydrateEnd],
  },
  batch: {
    summary: 'Upload plain rows',
    description:
      'Every array in the body is a table of JSON objects with an `id`. Newest wins by `updated_at`. Goes into the default space of the token.',
    body: BatchRequest,
    answer: BatchAnswer,
  },
  status: {
    summary: 'Status of a space',
    description: 'Head, floor and counts.',
    query: SpaceQuery,
    answer: SpaceStatus,
  },
  schema: {
    summary: 'Schema of a space',
    description: 'Tables as data.',
    query: SpaceQuery,
    answer: SchemaAnswer,
  },
  putSchema: {
    summary: 'Tell the schema of a replica',
    description: 'Joined with what the space has; nothing is taken away.',
    body: SchemaRequest,
    answer: SchemaAnswer,
  },
  devices: { summary: 'List devices', description: 'Devices of the account.', answer: DeviceList },
  registerDevice: {
    summary: 'Register a device',
    description: 'Answers a token bound to the device when the asking one is not bound.',
    body: DeviceInput,
    answer: DeviceAnswer,
  },
  renameDevice: {
    summary: 'Rename a device',
    description: 'Only its name changes.',
    body: DeviceRename,
    answer: Device,
  },
  deregisterDevice: {
    summary: 'Deregister a device',
    description: 'Its tokens stop at once.',
    answer: Device,
  },
} as const satisfies { readonly [R in ApiRoute]: RouteContract }
