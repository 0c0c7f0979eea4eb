import type { Static, TSchema } from 'typebox'
import { Compile } from 'typebox/compile'

import { TidemarkError } from '../../kernel/errors.ts'

const MAX_PLACE_CHARS = 200

interface Misfit {
  readonly keyword: string
  readonly schemaPath: string
  readonly instancePath: string
  readonly message: string
}

/** Checks a part of a request against its schema. Throws `bad_request` with the place and the rule, never the value. */
export function compileFit<T extends TSchema>(schema: T, root: string): (value: unknown) => Static<T> {
  const validator = Compile(schema)
  return (value) => {
    if (validator.Check(value)) return value
    const misfit = chooseMisfit(validator.Errors(value))
    const at = `${root}${misfit?.instancePath ?? ''}`.slice(0, MAX_PLACE_CHARS)
    // Of a field that the schema does not have.
    const rule = misfit?.keyword === 'boolean' ? 'is not known' : (misfit?.message ?? 'does not fit')
    throw new TidemarkError('bad_request', `The request does not fit its schema at ${at}: ${rule}`, {
      details: { at, rule },
    })
  }
}

const variantOf = ({ schemaPath }: Misfit): string | undefined => /^.*?\/anyOf\/\d+/.exec(schemaPath)?.[0]

/** Of several variants the one is meant whose fixed words are there: what it lacks says more than what it is not. */
function chooseMisfit(misfits: readonly Misfit[]): Misfit | undefined {
  const others = new Set(misfits.filter(({ keyword }) => keyword === 'const').map(variantOf))
  const meant = misfits.find((misfit) => {
    const variant = variantOf(misfit)
    return variant !== undefined && !others.has(variant)
  })
  const [first] = misfits
  return first !== undefined && variantOf(first) !== undefined ? (meant ?? first) : first
}
