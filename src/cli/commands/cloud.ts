import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'

import { startCloud, type Cloud } from '../../cloud/index.ts'
import { CLOUD_FILE } from '../../cloud/server/storage.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import { SCOPES, type Scope } from '../../protocol/routes.ts'
import { findFolders } from '../../machine/folders.ts'
import { openDirectory } from './directory.ts'
import type { CliContext } from '../context.ts'
import { STOP_MS, untilStopped } from '../stopping.ts'

export interface CloudOptions {
  readonly data?: string
  readonly host: string
  readonly port: number
  readonly insecureLoopback?: boolean
  readonly tlsKey?: string
  readonly tlsCert?: string
}

/** Where the cloud keeps its file unless told otherwise. */
export const cloudFolder = (context: CliContext, data: string | undefined): string =>
  data ?? join(context.folders.data, 'cloud')

/** What another command needs to find the same folder; nothing where it would anyway. */
function dataOption(context: CliContext, options: CloudOptions): string {
  const folder = resolve(cloudFolder(context, options.data))
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
  const cloud = await serve({
    data: cloudFolder(context, options.data),
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
    output.say(`Make a token in another terminal: tidemark cloud token create${dataOption(context, options)}`)
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

export interface TokenOptions {
  readonly data?: string
  readonly account: string
  readonly name: string
  readonly scopes: string
  readonly spaces?: string
  readonly defaultSpace: string
  readonly days?: number
}

/** tidemark cloud token create: prints the secret, once. */
export async function createToken(context: CliContext, options: TokenOptions): Promise<void> {
  await using directory = await openDirectory(cloudFolder(context, options.data), context)
  const scopes = options.scopes.split(',').map((scope) => scope.trim())
  const unknown = scopes.find((scope) => !(SCOPES as readonly string[]).includes(scope))
  if (unknown !== undefined)
    throw new TidemarkError('bad_usage', `there is no scope of that name; there are ${SCOPES.join(', ')}`)
  const { token, info } = await directory.createToken({
    account: options.account,
    name: options.name,
    scopes: scopes as Scope[],
    spaces: options.spaces === undefined ? null : options.spaces.split(',').map((space) => space.trim()),
    defaultSpace: options.defaultSpace,
    ...(options.days === undefined ? {} : { expiresAt: context.clock.now() + options.days * 86_400_000 }),
  })
  context.output.result({ token, ...info }, [token])
  context.output.warn('Keep it safe: it is shown this once. On a device: tidemark config set token TOKEN')
}

/** tidemark cloud token list */
export async function listTokens(context: CliContext, options: { readonly data?: string }): Promise<void> {
  const folder = cloudFolder(context, options.data)
  // To look makes nothing: a folder that was misspelt is told, not made.
  if (!existsSync(join(folder, CLOUD_FILE)))
    return context.output.result({ tokens: [] }, [`There is no cloud in ${folder} yet, and no token.`])
  await using directory = await openDirectory(folder, context)
  const tokens = await directory.listTokens()
  const lines = tokens.map((token) => {
    const state =
      token.revokedAt !== null
        ? 'revoked'
        : (token.expiresAt ?? Infinity) < context.clock.now()
          ? 'expired'
          : 'active'
    return `${token.id}  ${state.padEnd(8)} ${token.account}  ${token.scopes.join(',')}  ${token.spaces?.join(',') ?? 'all spaces'}  ${token.name}`
  })
  context.output.result(
    { tokens },
    lines.length === 0 ? ['There are no tokens. Create one: tidemark cloud token create'] : lines,
  )
}

/** tidemark cloud token revoke ID */
export async function revokeToken(
  context: CliContext,
  id: string,
  options: { readonly data?: string },
): Promise<void> {
  await using directory = await openDirectory(cloudFolder(context, options.data), context)
  if (!(await directory.revokeToken(id)))
    throw new TidemarkError('not_found', 'there is no token with this id; see tidemark cloud token list')
  context.output.result({ revoked: id }, ['The token is revoked; requests with it are refused from now on.'])
}
