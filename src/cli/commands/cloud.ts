import { join, resolve } from 'node:path'

import { startCloud, type Cloud } from '../../cloud/index.ts'
import { describePlace, type Place } from '../../cloud/server/place.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import { findFolders } from '../../machine/folders.ts'
import type { CliContext } from '../context.ts'
import { cloudPlace, type PlaceOptions } from './directory.ts'
import { STOP_MS, untilStopped } from '../stopping.ts'

export interface CloudOptions extends PlaceOptions {
  readonly host: string
  readonly port: number
  readonly insecureLoopback?: boolean
  readonly tlsKey?: string
  readonly tlsCert?: string
}

/** What another command needs to find the same place; nothing where it would anyway. */
function placeOption(context: CliContext, options: CloudOptions, place: Place): string {
  if ('database' in place)
    return options.database === undefined ? '' : ` --database '${describePlace(place)}'`
  const folder = resolve(place.data)
  return folder === join(findFolders(context.env).data, 'cloud') ? '' : ` --data '${folder}'`
}

/** tidemark cloud: serves until Ctrl-C. */
export async function runCloud(context: CliContext, options: CloudOptions): Promise<void> {
  const { output } = context
  if ((options.tlsKey === undefined) !== (options.tlsCert === undefined)) {
    throw new TidemarkError('bad_usage', '--tls-key and --tls-cert are given together')
  }
  const tls =
    options.tlsKey === undefined || options.tlsCert === undefined
      ? {}
      : { tls: { keyFile: options.tlsKey, certFile: options.tlsCert } }
  const place = cloudPlace(context, options)
  const cloud = await serve({
    ...place,
    host: options.host,
    port: options.port,
    insecureLoopback: options.insecureLoopback === true,
    limits: { stopMs: STOP_MS },
    ...tls,
  })
  output.result({ url: cloud.url, pid: process.pid }, [
    `Tidemark cloud at ${cloud.url} (API page: ${cloud.url}/)`,
  ])
  if (options.insecureLoopback === true)
    output.warn('Anyone on this machine can read and write: --insecure-loopback is for trying out.')
  else
    output.say(
      `Make a token in another terminal: tidemark cloud token create${placeOption(context, options, place)}`,
    )
  await untilStopped(context.signal)
  output.say('Stopping …')
  await cloud.close()
}

/** Why the system does not let a program listen. */
const REFUSALS: { readonly [code: string]: string } = {
  EADDRINUSE: 'is taken by another program',
  EADDRNOTAVAIL: 'is no address of this machine',
  EACCES: 'is for privileged programs only',
  ENOTFOUND: 'is not known',
}

async function serve(
  options: Parameters<typeof startCloud>[0] & { readonly host: string; readonly port: number },
): Promise<Cloud> {
  try {
    return await startCloud(options)
  } catch (thrown) {
    const refusal = REFUSALS[(thrown as NodeJS.ErrnoException).code ?? '']
    if (refusal === undefined) throw thrown
    throw new TidemarkError('cannot_listen', `${options.host}:${options.port} ${refusal}`, { cause: thrown })
  }
}
