import { BatchAnswer, BatchRequest } from './batch.ts'
import {
  HydrateEnd,
  HydrateRead,
  HydratePlace,
  HydrateQuery,
  HydrateStart,
  PullAnswer,
  PullRequest,
  ReadAnswer,
  ReadRequest,
} from './pull.ts'
import { PushAnswer, PushRequest } from './push.ts'
import { SchemaAnswer, SchemaRequest } from './schema.ts'
import {
  Device,
  DeviceAnswer,
  DeviceInput,
  DeviceList,
  DeviceRename,
  ErrorAnswer,
  SpaceQuery,
  SpaceStatus,
} from './status.ts'

/** Every schema of the wire, in a fixed order: `version.test.ts` holds their hash. */
export const WIRE_SCHEMAS = {
  PushRequest,
  PushAnswer,
  PullRequest,
  PullAnswer,
  HydrateQuery,
  HydrateStart,
  HydrateEnd,
  HydrateRead,
  HydratePlace,
  ReadRequest,
  ReadAnswer,
  SchemaRequest,
  SchemaAnswer,
  BatchRequest,
  BatchAnswer,
  SpaceQuery,
  SpaceStatus,
  Device,
  DeviceInput,
  DeviceAnswer,
  DeviceList,
  DeviceRename,
  ErrorAnswer,
} as const
