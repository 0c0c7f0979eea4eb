import { TidemarkError, toTidemarkError } from '../../kernel/errors.ts'
import { connectCloud } from '../../machine/cloud.ts'
import { localDevice, registerDevice, STOPPED } from '../../machine/device.ts'
import type { Device } from '../../protocol/status.ts'
import { createDeviceClient, type DeviceClient } from '../../providers/cloud/devices.ts'
import { requireConnection } from '../../daemon/connection.ts'
import type { CliContext } from '../context.ts'
import { formatAgo } from '../progress.ts'

/** tidemark devices list */
export async function listDevices(context: CliContext): Promise<void> {
  const here = localDevice(context).id
  const list = await askDevices(context, (devices) => devices.list(context.signal))
  const now = context.clock.now()
  const lines = list.map((device) => describeDevice(device, here, now))
  context.output.result(
    { devices: list.map((device) => ({ ...device, this_device: device.id === here })) },
    lines.length === 0 ? ['No device is registered.'] : lines,
  )
}

/** tidemark devices register [--name NAME]: this machine, again where it was removed. */
export async function registerThisDevice(
  context: CliContext,
  options: { readonly name?: string },
): Promise<void> {
  const device = await registerDevice(
    context,
    requireConnection(context.config),
    options.name,
    context.signal,
  )
  context.output.result({ device }, [`This machine is registered as ${device.name} (${device.id}).`])
}

/** tidemark devices rename ID NAME */
export async function renameDevice(context: CliContext, id: string, name: string): Promise<void> {
  const connection = requireConnection(context.config)
  const device =
    id === localDevice(context).id
      ? await registerDevice(context, connection, name, context.signal)
      : await (
          await connectCloud(context, connection, context.signal)
        ).devices.rename(id, name, context.signal)
  context.output.result({ device }, [`${device.id} is named ${device.name}.`])
}

/** tidemark devices remove ID: its token stops at once; what it holds stays with it. Asks first. */
export async function removeDevice(
  context: CliContext,
  id: string,
  options: { readonly yes?: boolean },
): Promise<void> {
  requireConnection(context.config)
  const which = id === localDevice(context).id ? 'this machine' : id
  const question = `Remove ${which} from the cloud? It syncs no more until it is registered again; its files stay.`
  if (options.yes !== true && !(await context.confirm(question))) throw new TidemarkError('not_confirmed')
  const device = await askDevices(context, (devices) => devices.deregister(id, context.signal))
  context.output.result({ device }, [`${device.name} (${device.id}) is removed; its token has stopped.`])
}

/** As this device; where that was removed, with the token of the account, which goes on. */
async function askDevices<Answer>(
  context: CliContext,
  ask: (devices: DeviceClient) => Promise<Answer>,
): Promise<Answer> {
  const connection = requireConnection(context.config)
  const { devices, isOwn } = await connectCloud(context, connection, context.signal)
  try {
    return await ask(devices)
  } catch (thrown) {
    if (!isOwn || !STOPPED.has(toTidemarkError(thrown).code)) throw thrown
    return await ask(createDeviceClient({ ...connection, clock: context.clock }))
  }
}

function describeDevice(device: Device, here: string, now: number): string {
  const marks = [
    ...(device.id === here ? ['this machine'] : []),
    device.deregistered_at === undefined
      ? `seen ${formatAgo(device.last_seen_at, now)}`
      : `removed ${formatAgo(device.deregistered_at, now)}`,
  ]
  return `${device.id}  ${device.name} (${device.platform}; ${marks.join('; ')})`
}
