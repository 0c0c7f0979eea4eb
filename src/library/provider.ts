import type { Provider } from '../engine/provider.ts'
import { TidemarkError, toTidemarkError, type ErrorCode } from '../kernel/errors.ts'
import { localDevice, registerDevice } from '../machine/device.ts'
import { toSystemError } from '../machine/failures.ts'
import type { Machine } from '../machine/machine.ts'
import type { Device } from '../protocol/status.ts'
import { parseEndpoint } from '../providers/cloud/endpoint.ts'
import { createWatch } from '../providers/cloud/watch.ts'
import { createCloudLink, type CloudLink } from './cloud-link.ts'
import { createContact } from './contact.ts'
import { toSyncError } from './failures.ts'

/** A cloud as an application sees it. Every rejection is a `TidemarkError` that `toSyncError` has put in words. */
export interface SyncProvider {
  /** e.g. `cloud sync.example` */
  readonly name: string
  /** The last contact succeeded. False before the first contact. */
  readonly isConnected: boolean
  /** Why the last contact failed; null while connected, and before the first contact. */
  readonly lastFailure: TidemarkError | null
  /**
   * Asks the cloud now. False when it cannot be reached, or refuses: `lastFailure` says why. Never rejects but for
   * a signal that aborts.
   */
  validateConnection(options?: { readonly signal?: AbortSignal }): Promise<boolean>
  /**
   * Registers this device under a name, which it then keeps; without one under the name it has, at first the
   * host's. Any number of times; brings a device back that was deregistered.
   */
  registerDevice(deviceName?: string): Promise<RegisteredDevice>
  getRegisteredDevices(): Promise<readonly RegisteredDevice[]>
  /**
   * Its tokens stop at once. Rejects with `not_found`. After that of this very device everything is refused with
   * `device_deregistered`, until `registerDevice` or another token.
   */
  deregisterDevice(deviceId: string): Promise<void>
}

/** This machine, as it calls itself. */
export interface LocalDevice {
  readonly deviceId: string
  readonly deviceName: string
  /** As Node.js calls it: `linux`, `darwin`, `win32`, … */
  readonly platform: string
}

/** A device of the account. */
export interface RegisteredDevice extends LocalDevice {
  readonly registeredAt: Date
  readonly lastSeenAt: Date
  /** False when it was deregistered. */
  readonly isActive: boolean
  readonly isThisDevice: boolean
}

export interface CloudSyncOptions extends Machine {
  readonly endpoint: string
  /** Null only for a cloud that serves its own machine without tokens. */
  readonly token: string | null
  /** The one to ask about where nothing else is asked; what it is may be known later only. */
  readonly space: string | (() => Promise<string>)
}

/** One cloud with two faces: what the engine asks is seen in `isConnected` of the other. */
export interface CloudSyncProvider {
  readonly face: SyncProvider
  readonly engine: Provider
}

/** A person waits for it. */
const VALIDATE_MS = 15_000
const NEVER = new AbortController().signal
/** What the routes of devices refuse of one request: a token without that scope, a device that is not there. */
const PLAIN: ReadonlySet<ErrorCode> = new Set(['forbidden', 'not_found'])

/**
 * A Tidemark cloud. Touches no network: the device is registered with the first call, where it never was. Throws
 * `config_invalid` when endpoint or token cannot be used.
 */
export function createCloudSyncProvider(options: CloudSyncOptions): CloudSyncProvider {
  const { endpoint, token, space, ...machine } = options
  const contact = createContact()
  const readSpace = typeof space === 'string' ? async () => space : space
  const link = createCloudLink(machine, { endpoint, token }, readSpace, contact)

  const face: SyncProvider = {
    name: link.engine.name,
    get isConnected() {
      return contact.isConnected
    },
    get lastFailure() {
      return contact.lastFailure
    },
    async validateConnection({ signal = NEVER } = {}) {
      try {
        await validate(machine, link, endpoint, await readSpace(), signal)
        return true
      } catch (thrown) {
        if (signal.aborted) throw new TidemarkError('aborted')
        const failure = toTidemarkError(thrown)
        contact.failed(failure)
        return failure.code === 'space_not_found'
      }
    },
    registerDevice: (deviceName) =>
      inWords(async () => {
        const device = await registerDevice(machine, { endpoint, token }, deviceName).catch(
          (thrown: unknown) => {
            const failure = toSystemError(thrown)
            if (!PLAIN.has(failure.code)) contact.failed(failure)
            throw failure
          },
        )
        link.renew()
        contact.met()
        return toRegisteredDevice(device, device.id)
      }),
    getRegisteredDevices: () =>
      inWords(async () => {
        const { id } = localDevice(machine)
        const devices = await link.ask((connection) => connection.devices.list(NEVER), NEVER, PLAIN)
        return devices.map((device) => toRegisteredDevice(device, id))
      }),
    deregisterDevice: (deviceId) =>
      inWords(async () => {
        const { id } = localDevice(machine)
        await link.ask((connection) => connection.devices.deregister(deviceId, NEVER), NEVER, PLAIN)
        if (deviceId === id) contact.lost(new TidemarkError('device_deregistered'))
      }),
  }
  return { face, engine: link.engine }
}

/** This machine, made with the first call. Throws `no_access`, `config_invalid`. */
export function getLocalDevice(machine: Machine): LocalDevice {
  try {
    const { id, name, platform } = localDevice(machine)
    return { deviceId: id, deviceName: name, platform }
  } catch (thrown) {
    throw toSyncError(thrown)
  }
}

/** Proves reach, protocol and token: any answer about the space does, and none is cheaper. */
async function validate(
  { clock }: Machine,
  { engine }: CloudLink,
  endpoint: string,
  space: string,
  signal: AbortSignal,
): Promise<void> {
  const watch = createWatch(clock, signal, parseEndpoint(endpoint).host)
  try {
    await watch.within(VALIDATE_MS, () => engine.status(space, watch.signal))
  } finally {
    watch.close()
  }
}

async function inWords<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (thrown) {
    throw toSyncError(thrown)
  }
}

const toRegisteredDevice = (device: Device, here: string): RegisteredDevice => ({
  deviceId: device.id,
  deviceName: device.name,
  platform: device.platform,
  registeredAt: new Date(device.created_at),
  lastSeenAt: new Date(device.last_seen_at),
  isActive: device.deregistered_at === undefined,
  isThisDevice: device.id === here,
})
