import Type, { type Static } from 'typebox'

import { Generation, Id, Name, SpaceName, Version } from './records.ts'

/** The address of GET /sync/status?space=… and GET /sync/schema?space=… */
export const SpaceQuery = Type.Object({ space: SpaceName }, { additionalProperties: false })
export type SpaceQuery = Static<typeof SpaceQuery>

/** GET /sync/status?space=… */
export const SpaceStatus = Type.Object({
  space: SpaceName,
  epoch: Id,
  generation: Generation,
  head: Version,
  floor: Version,
  schema: Version,
  records: Type.Integer({ minimum: 0 }),
  tombstones: Type.Integer({ minimum: 0 }),
  replicas: Type.Integer({ minimum: 0 }),
})
export type SpaceStatus = Static<typeof SpaceStatus>

export const DeviceInput = Type.Object(
  { id: Id, name: Name, platform: Type.String({ maxLength: 64 }) },
  { additionalProperties: false },
)
export type DeviceInput = Static<typeof DeviceInput>

export const Device = Type.Object({
  id: Id,
  name: Name,
  platform: Type.String(),
  created_at: Type.Integer(),
  last_seen_at: Type.Integer(),
  deregistered_at: Type.Optional(Type.Integer()),
})
export type Device = Static<typeof Device>

/** POST /sync/devices. `token` is bound to the device and stops with it; absent when the asking token is bound already. */
export const DeviceAnswer = Type.Object({ device: Device, token: Type.Optional(Type.String()) })
export type DeviceAnswer = Static<typeof DeviceAnswer>

export const DeviceList = Type.Object({ devices: Type.Array(Device) })
export type DeviceList = Static<typeof DeviceList>
export const DeviceRename = Type.Object({ name: Name }, { additionalProperties: false })

/** What every error looks like: `kernel/errors.ts` has the codes. */
export const ErrorAnswer = Type.Object({
  error: Type.Object({
    code: Type.String(),
    message: Type.String(),
    details: Type.Record(Type.String(), Type.Unknown()),
    retry: Type.Boolean(),
  }),
})
export type ErrorAnswer = Static<typeof ErrorAnswer>
