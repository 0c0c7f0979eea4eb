import { describePlace } from '../../cloud/server/place.ts'
import type { TokenInfo } from '../../cloud/directory.ts'
import { TidemarkError } from '../../kernel/errors.ts'
import { SCOPES, type Scope } from '../../protocol/routes.ts'
import { isSpaceName } from '../../protocol/space-name.ts'
import type { CliContext } from '../context.ts'
import { cloudPlace, COMMAND_LINE, hasDirectory, openDirectory, type PlaceOptions } from './directory.ts'

export interface TokenOptions extends PlaceOptions {
  readonly account: string
  readonly name: string
  readonly scopes: string
  readonly spaces?: string
  readonly defaultSpace: string
  readonly days?: number
}

/** tidemark cloud token create: prints the secret, once. */
export async function createToken(context: CliContext, options: TokenOptions): Promise<void> {
  const scopes = options.scopes.split(',').map((scope) => scope.trim())
  const unknown = scopes.find((scope) => !(SCOPES as readonly string[]).includes(scope))
  if (unknown !== undefined)
    throw new TidemarkError('bad_usage', `there is no scope of that name; there are ${SCOPES.join(', ')}`)
  const spaces = options.spaces?.split(',').map((space) => space.trim()) ?? null
  const none = spaces?.find((space) => !isSpaceName(space))
  if (none !== undefined)
    throw new TidemarkError('bad_usage', `--spaces: no space can have the name ${JSON.stringify(none)}`)
  const input = {
    account: options.account,
    name: options.name,
    scopes: scopes as Scope[],
    spaces,
    defaultSpace: options.defaultSpace,
    ...(options.days === undefined ? {} : { expiresAt: context.clock.now() + options.days * 86_400_000 }),
  }
  await using directory = await openDirectory(cloudPlace(context, options), context)
  const { token, info } = await directory.createToken(input, COMMAND_LINE)
  context.output.result({ token, ...info }, [token])
  context.output.warn('Keep it safe: it is shown this once. On a device: tidemark config set token TOKEN')
}

/** tidemark cloud token list */
export async function listTokens(context: CliContext, options: PlaceOptions): Promise<void> {
  const place = cloudPlace(context, options)
  if (!(await hasDirectory(place)))
    return context.output.result({ tokens: [] }, [
      `There is no cloud in ${describePlace(place)} yet, and no token.`,
    ])
  await using directory = await openDirectory(place, context)
  const tokens = await directory.listTokens()
  const lines = tokens.map((token) => {
    const state =
      token.revokedAt !== null
        ? 'revoked'
        : (token.expiresAt ?? Infinity) < context.clock.now()
          ? 'expired'
          : 'active'
    return `${token.id}  ${state.padEnd(8)} ${token.account}  ${token.scopes.join(',')}  ${token.spaces?.join(',') ?? 'all spaces'}  ${token.name}${isOfDevice(token) ? " (a device's own)" : ''}`
  })
  context.output.result(
    { tokens },
    lines.length === 0 ? ['There are no tokens. Create one: tidemark cloud token create'] : lines,
  )
}

/** tidemark cloud token revoke ID */
export async function revokeToken(context: CliContext, id: string, options: PlaceOptions): Promise<void> {
  const place = cloudPlace(context, options)
  const unknown = new TidemarkError(
    'not_found',
    'there is no token with this id; see tidemark cloud token list',
  )
  if (!(await hasDirectory(place))) throw unknown
  await using directory = await openDirectory(place, context)
  if (!(await directory.revokeToken(id, COMMAND_LINE))) throw unknown
  context.output.result({ revoked: id }, ['The token is revoked; requests with it are refused from now on.'])
  const tokens = await directory.listTokens()
  const revoked = tokens.find((token) => token.id === id)
  if (revoked === undefined || isOfDevice(revoked)) return
  const others = tokens.filter(
    (token) => token.account === revoked.account && token.revokedAt === null && isOfDevice(token),
  )
  if (others.length > 0)
    context.output.warn(
      `Devices that were set up with it go on with tokens of their own; to lock one out, revoke that, too. The account has ${others.length} of them: tidemark cloud token list`,
    )
}

/** A device is given a token of its own with its first sync, whatever token it came with. */
const isOfDevice = (token: TokenInfo): boolean => token.device !== undefined
