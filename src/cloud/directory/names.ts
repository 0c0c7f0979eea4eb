import { TidemarkError } from '../../kernel/errors.ts'
import { MAX_ID_CHARS, MAX_NAME_CHARS, MAX_SPACE_CHARS } from '../../protocol/limits.ts'
import { isCleanText } from '../../http/check.ts'
import type { TokenInput } from '../directory.ts'

/**
 * What names may be, in every storage: PostgreSQL holds no NUL, drivers change lone surrogates so that two names
 * become one, and an entry of its indexes (account and space, account and device) has to fit into 2,700 bytes.
 * Throws `bad_usage`: requests are checked before, so it is a program of the operator's that gave the name.
 */
export function requireName(what: string, text: string, maxChars = MAX_NAME_CHARS): void {
  if (text.length > maxChars)
    throw new TidemarkError('bad_usage', `${what} is longer than ${maxChars} characters`)
  if (!isCleanText(text)) throw new TidemarkError('bad_usage', `${what} holds NUL or a lone surrogate`)
}

export function requireSpaceName(account: string, name: string): void {
  requireName('the account', account)
  requireName('the name of the space', name, MAX_SPACE_CHARS)
}

export function requireTokenNames(input: TokenInput): void {
  requireSpaceName(input.account, input.defaultSpace)
  requireName('the name of the token', input.name)
  for (const space of input.spaces ?? []) requireSpaceName(input.account, space)
  if (input.device !== undefined) requireName('the id of the device', input.device, MAX_ID_CHARS)
}

export function requireDeviceNames(
  account: string,
  device: { readonly id: string; readonly name: string; readonly platform?: string },
): void {
  requireName('the account', account)
  requireName('the id of the device', device.id, MAX_ID_CHARS)
  requireName('the name of the device', device.name)
  requireName('the platform of the device', device.platform ?? '')
}
