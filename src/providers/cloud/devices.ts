import { TidemarkError } from '../../kernel/errors.ts'
import type { Device, DeviceAnswer, DeviceInput } from '../../protocol/status.ts'
import { isDevice, isDeviceAnswer, isDeviceList, isId } from './answers.ts'
import { createLine, type CloudOptions } from './line.ts'
import { readAnswer, type Call } from './request.ts'

/**
 * The devices of an account. Every method rejects with a `TidemarkError` only, as those of `engine/provider.ts` do;
 * none retries by itself.
 */
export interface DeviceClient {
  list(signal: AbortSignal): Promise<readonly Device[]>
  /** Registers or updates. The answer has a token of the device where the asking one is not bound to it. */
  register(device: DeviceInput, signal: AbortSignal): Promise<DeviceAnswer>
  /** Rejects with `not_found`. */
  rename(id: string, name: string, signal: AbortSignal): Promise<Device>
  /** The device as it is afterwards: its tokens have stopped. Rejects with `not_found`. */
  deregister(id: string, signal: AbortSignal): Promise<Device>
}

/** Throws `config_invalid` when endpoint or token cannot be used. */
export function createDeviceClient(options: CloudOptions): DeviceClient {
  const line = createLine(options)
  const send = <Answer>(call: Call, isAnswer: (value: unknown) => value is Answer, signal: AbortSignal) =>
    readAnswer(line, call, isAnswer, signal)
  return {
    list: async (signal) => (await send({ route: 'devices' }, isDeviceList, signal)).devices,
    register: (device, signal) =>
      send({ route: 'registerDevice', body: JSON.stringify(device) }, isDeviceAnswer, signal),
    rename: async (id, name, signal) =>
      send({ route: 'renameDevice', id: checkId(id), body: JSON.stringify({ name }) }, isDevice, signal),
    deregister: async (id, signal) => send({ route: 'deregisterDevice', id: checkId(id) }, isDevice, signal),
  }
}

/** An id that leads to another route, or to none, is the id of no device. */
function checkId(id: string): string {
  if (isId(id) && !/^\.\.?$/.test(id)) return id
  throw new TidemarkError('not_found', 'There is no such device')
}
