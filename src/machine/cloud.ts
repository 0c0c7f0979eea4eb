import type { Provider } from '../engine/provider.ts'
import { createDeviceClient, type DeviceClient } from '../providers/cloud/devices.ts'
import { nodeCodec } from '../providers/cloud/node-codec.ts'
import { createCloudProvider } from '../providers/cloud/provider.ts'
import { deviceToken, type Credentials } from './device.ts'
import type { Machine } from './machine.ts'

/** A cloud that is asked with this device's own token, where it has one. */
export interface CloudConnection {
  readonly provider: Provider
  readonly devices: DeviceClient
  /** The id of this device. */
  readonly device: string
  /** The token is this device's own. False: the one given, since the device could not be registered. */
  readonly isOwn: boolean
}

/** Registers the device where it never was. Rejects with `config_invalid`, `aborted`. */
export async function connectCloud(
  machine: Machine,
  credentials: Credentials,
  signal?: AbortSignal,
): Promise<CloudConnection> {
  const { token, device, isOwn } = await deviceToken(machine, credentials, signal)
  const { clock, fetch } = machine
  const options = {
    endpoint: credentials.endpoint,
    token,
    device,
    clock,
    codec: nodeCodec,
    ...(fetch === undefined ? {} : { fetch }),
  }
  return { provider: createCloudProvider(options), devices: createDeviceClient(options), device, isOwn }
}

/** A provider with this device's own token. */
export async function createProvider(
  machine: Machine,
  credentials: Credentials,
  signal?: AbortSignal,
): Promise<Provider> {
  return (await connectCloud(machine, credentials, signal)).provider
}
