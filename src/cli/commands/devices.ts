import { TidemarkError } from '../../kernel/errors.ts'
import { connectCloud } from '../../machine/cloud.ts'
import { localDevice, registerDevice } from '../../machine/device.ts'
import type { Device } from '../../protocol/status.ts'
import { requireConnection } from '../../daemon/connection.ts'
import type { CliContext } from '../context.ts'
import { formatAgo } from '../progress.ts'

/** tidemark devices list */
export async function listDevices(context: CliContext): Promise<void> {
  const { devices, device: here } = await connectCloud(
    context,
    requireConnection(context.config),
    context.signal,
  )
  const list = await devices.list(context.signal)
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
  const connected = await connectCloud(context, requireConnection(context.config), context.signal)
  const which = id === connected.device ? 'this machine' : id
  const question = `Remove ${which} from the cloud? It syncs no more until it is registered again; its files stay.`
  if (options.yes !== true && !(await context.confirm(question))) throw new TidemarkError('not_confirmed')
  const device = await connected.devices.deregister(id, context.signal)
  context.output.result({ device }, [`${device.name} (${device.id}) is removed; its token has stopped.`])
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
