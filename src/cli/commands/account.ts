import { TidemarkError, toTidemarkError } from '../../kernel/errors.ts'
import { connectCloud } from '../../machine/cloud.ts'
import { forgetToken, localDevice } from '../../machine/device.ts'
import { requireConnection } from '../../daemon/connection.ts'
import type { CliContext } from '../context.ts'
import { describeOrigin } from './config.ts'

/** tidemark whoami: as whom this machine would speak, and whether the cloud takes it. */
export async function whoAmI(context: CliContext): Promise<void> {
  const { config, output } = context
  const endpoint = config.read('endpoint').value
  const token = config.read('token')
  const { id, name } = localDevice(context)
  const cloud = typeof endpoint === 'string' ? await askCloud(context) : null
  output.result(
    {
      profile: config.profile,
      endpoint,
      device: { id, name },
      token: token.value === null ? null : token.origin,
      cloud,
    },
    [
      `Profile: ${config.profile}`,
      `Endpoint: ${typeof endpoint === 'string' ? endpoint : '-'}`,
      `Device: ${name} (${id})`,
      `Token: ${token.value === null ? 'none' : `set (${describeOrigin(token)})`}`,
      ...(cloud === null ? [] : [`Cloud: ${cloud.accepts ? 'knows this device' : cloud.reason}`]),
    ],
  )
}

/** Whether the cloud takes what this machine has. */
async function askCloud(
  context: CliContext,
): Promise<{ readonly accepts: boolean; readonly reason: string | null }> {
  try {
    const { devices } = await connectCloud(context, requireConnection(context.config), context.signal)
    await devices.list(context.signal)
    return { accepts: true, reason: null }
  } catch (thrown) {
    if (context.signal.aborted) throw thrown
    return { accepts: false, reason: toTidemarkError(thrown).message }
  }
}

/** tidemark logout: this machine forgets the token of the profile, and the device's own that it got with it. */
export function logOut(context: CliContext): void {
  const { config, output } = context
  const token = config.read('token')
  if (token.origin === 'environment')
    throw new TidemarkError(
      'bad_usage',
      `the token comes from ${token.variable ?? 'the environment'}: unset that`,
    )
  const endpoint = config.read('endpoint').value
  config.unset('token')
  if (typeof token.value === 'string' && typeof endpoint === 'string')
    forgetToken(context, { endpoint, token: token.value })
  output.result({ profile: config.profile, logged_out: token.value !== null }, [
    token.value === null
      ? `There was no token (profile ${config.profile}).`
      : `The token is forgotten here (profile ${config.profile}). It works elsewhere until the cloud revokes it.`,
  ])
}
