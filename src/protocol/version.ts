import { BatchAnswer, BatchRequest } from './batch.ts'
import { HydrateEnd, HydratePlace, HydrateStart, PullAnswer, PullRequest, ReadAnswer, ReadRequest } from './pull.ts'
import { PushAnswer, PushRequest } from './push.ts'
import { SchemaAnswer, SchemaRequest } from './schema.ts'
import { Device, DeviceAnswer, DeviceInput, DeviceList, DeviceRename, ErrorAnswer, SpaceStatus } from './status.ts'

/**
 * The version both sides must share; a request with another one is answered `needs_upgrade`.
 * Adding an optional property that an older reader may ignore keeps the version; anything else raises it.
 */
export const PROTOCOL_VERSION = 1

/** What changed with each version. */
export const PROTOCOL_HISTORY: { readonly [version: number]: string } = {
  1: 'First version: push with parts and force, pull, hydrate, read, schema, batch, status, devices.',
}

/** Every schema of the wire, in a fixed order: `version.test.ts` holds their hash. */
export const WIRE_SCHEMAS = {
  PushRequest,
  PushAnswer,
  PullRequest,
  PullAnswer,
  HydrateStart,
  HydrateEnd,
  HydratePlace,
  ReadRequest,
  ReadAnswer,
  SchemaRequest,
  SchemaAnswer,
  BatchRequest,
  BatchAnswer,
  SpaceStatus,
  Device,
  DeviceInput,
  DeviceAnswer,
  DeviceList,
  DeviceRename,
  ErrorAnswer,
} as const
