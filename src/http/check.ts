import type { Static, TSchema } from 'typebox'
import { Compile } from 'typebox/compile'

import { TidemarkError } from '../kernel/errors.ts'

/** Characters of a place in the error details; a place may hold a column name of any length. */
const MAX_PLACE_CHARS = 200

/** Checks outside input against a schema compiled once. Throws `bad_request` that names the place and the rule. */
export function compileCheck<T extends TSchema>(schema: T): (value: unknown) => Static<T> {
  const validator = Compile(schema)
  return (value) => {
    if (validator.Check(value)) return value
    const [first] = validator.Errors(value)
    const at = (first?.instancePath ?? '').slice(0, MAX_PLACE_CHARS)
    const rule = first?.message ?? 'does not fit'
    throw new TidemarkError(
      'bad_request',
      `The request does not fit its schema${at === '' ? '' : ` at ${at}`}: ${rule}`,
      {
        details: { at, rule },
      },
    )
  }
}

/** True for text that every storage can hold: well-formed, without NUL. */
export const isCleanText = (text: string): boolean => !text.includes('\0') && text.isWellFormed()

/** Throws `bad_request` when any text or property name inside `value` is not clean. `value` has passed its schema. */
export function checkTexts(value: unknown, at = ''): void {
  if (typeof value === 'string') {
    if (!isCleanText(value))
      throw new TidemarkError('bad_request', `Text with NUL or a lone surrogate at ${at}`, {
        details: { at },
      })
    return
  }
  if (typeof value !== 'object' || value === null) return
  if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) checkTexts(item, `${at}/${index}`)
    return
  }
  for (const [key, item] of Object.entries(value)) {
    checkTexts(key, at)
    checkTexts(item, `${at}/${key}`.slice(0, MAX_PLACE_CHARS))
  }
}
