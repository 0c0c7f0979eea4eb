import { join, resolve } from 'node:path'

import { startCloud, type Cloud } from '../../cloud/index.ts'
import { describePlace, type Place } from '../../cloud/server/place.ts'
import { isLoopback } from '../../http/addresses.ts'
import { toListenError } from '../../http/listening.ts'
import type { ServerLimits } from '../../cloud/server/limits.ts'
import type { LogLevel } from '../../cloud/server/log-lines.ts'
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
  readonly trustProxy?: number
  readonly logLevel: LogLevel
  readonly metricsAddress?: { readonly host: string; readonly port: number }
  readonly tokenRate?: number
  readonly addressRate?: number
  readonly maxConnections?: number
  /** Seconds. */
  readonly drain?: number
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
  const metrics = options.metricsAddress
  const cloud = await serve({
    ...place,
    host: options.host,
    port: options.port,
    insecureLoopback: options.insecureLoopback === true,
    limits: readLimits(options),
    trustProxy: options.trustProxy ?? 0,
    logLevel: options.logLevel,
    ...(metrics === undefined ? {} : { metrics }),
    ...tls,
  })
  const { url, metricsUrl } = cloud
  output.result({ url, ...(metricsUrl === null ? {} : { metrics: metricsUrl }), pid: process.pid }, [
    `Tidemark cloud at ${url} (API page: ${url}/)`,
    `Data in ${'data' in place ? resolve(place.data) : describePlace(place)}`,
    ...(metricsUrl === null ? [] : [`Metrics at ${metricsUrl}`]),
  ])
  if (metrics !== undefined && !isLoopback(metrics.host))
    output.warn(`Anyone who reaches ${metrics.host} can read the metrics: they need no token.`)
  if (options.tlsKey === undefined && (options.trustProxy ?? 0) === 0 && !isLoopback(options.host))
    output.warn(
      'Tokens and rows go over the network unencrypted: --tls-key and --tls-cert, or a proxy in front and --trust-proxy.',
    )
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

function readLimits(options: CloudOptions): Partial<ServerLimits> {
  const { tokenRate, addressRate, maxConnections, drain } = options
  return {
    stopMs: STOP_MS,
    ...(tokenRate === undefined ? {} : { tokenPerMinute: tokenRate }),
    ...(addressRate === undefined ? {} : { addressPerMinute: addressRate }),
    ...(maxConnections === undefined ? {} : { connections: maxConnections }),
    ...(drain === undefined ? {} : { drainMs: drain * 1_000 }),
  }
}

async function serve(
  options: Parameters<typeof startCloud>[0] & { readonly host: string; readonly port: number },
): Promise<Cloud> {
  try {
    return await startCloud(options)
  } catch (thrown) {
    throw toListenError(thrown, options)
  }
}
