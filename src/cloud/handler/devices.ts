import { TidemarkError } from '../../kernel/errors.ts'
import type { Device, DeviceAnswer, DeviceInput } from '../../protocol/status.ts'
import type { Directory, Grant } from '../directory.ts'

/**
 * Registers a device. A token that is not bound answers with one that is: the same reach, the same end, and it
 * stops with the device. A bound token registers its own device only.
 */
export async function registerDevice(
  directory: Directory,
  grant: Grant,
  input: DeviceInput,
): Promise<DeviceAnswer> {
  if (grant.device !== null && grant.device !== input.id) {
    throw new TidemarkError('forbidden', 'The token is bound to another device')
  }
  const device = await directory.registerDevice(grant.account, input, grant.tokenId)
  if (grant.device !== null) return { device }
  const expiresAt = await readExpiry(directory, grant)
  const bound = {
    account: grant.account,
    name: input.name,
    scopes: grant.scopes,
    spaces: grant.spaces,
    defaultSpace: grant.defaultSpace,
    device: input.id,
    ...(expiresAt === undefined ? {} : { expiresAt }),
  }
  const { token } = await directory.createToken(bound, grant.tokenId)
  return { device, token }
}

/** A token must not outlive the one that asked for it. */
async function readExpiry(directory: Directory, grant: Grant): Promise<number | undefined> {
  const tokens = await directory.listTokens(grant.account)
  return tokens.find((token) => token.id === grant.tokenId)?.expiresAt
}

/** Throws `not_found`. */
export async function renameDevice(
  directory: Directory,
  grant: Grant,
  id: string,
  name: string,
): Promise<Device> {
  const device = await directory.renameDevice(grant.account, id, name, grant.tokenId)
  if (device === null) throw new TidemarkError('not_found', 'There is no such device')
  return device
}

/** The device as it is afterwards. Throws `not_found`. */
export async function deregisterDevice(directory: Directory, grant: Grant, id: string): Promise<Device> {
  const found = await directory.deregisterDevice(grant.account, id, grant.tokenId)
  const devices = found ? await directory.listDevices(grant.account) : []
  const device = devices.find((device) => device.id === id)
  if (device === undefined) throw new TidemarkError('not_found', 'There is no such device')
  return device
}
