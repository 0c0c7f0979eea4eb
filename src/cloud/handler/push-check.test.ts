import fc from 'fast-check'
import { Compile } from 'typebox/compile'
import { describe, expect, test } from 'vitest'

import { TidemarkError } from '../../kernel/errors.ts'
import { PushRequest } from '../../protocol/push.ts'
import { Change, Claims } from '../../protocol/records.ts'
import { hasUnfitClaims, UNFIT_CLAIMS } from './claims-check.ts'
import { MAX_JSON_DEPTH } from '../../http/limits.ts'
import { checkPush, checkValueDepth, isPlainChange } from './push-check.ts'

const request = Compile(PushRequest)
const change = Compile(Change)
const claims = Compile(Claims)

const usual = {
  table: 't',
  key: '[1]',
  op: 'put',
  base: 0,
  hlc: 1_769_000_000_000_000,
  fields: { id: 1, name: 'x' },
}
const push = (changes: unknown) => ({ space: 's', replica: 'r', mutation: 1, cursor: null, changes })

/** Changes beside the schema and inside it: the usual one with a few properties in place of its own, or none. */
const values = fc.oneof(
  fc.constantFrom(
    null,
    true,
    -1,
    -0,
    0,
    1,
    1.5,
    2 ** 53,
    '',
    '[',
    '[1]',
    '😀',
    '\ud800',
    'put',
    'delete',
    [],
    {},
    { i: 'v', j: null },
    { '': 'v' },
    { i: 1 },
  ),
  fc.string({ minLength: 1_023, maxLength: 1_026 }).map((text) => `[${text}`),
  fc.string({ minLength: 511, maxLength: 514 }),
)
const odd = fc
  .dictionary(
    fc.constantFrom(
      'table',
      'key',
      'op',
      'base',
      'hlc',
      'fields',
      'was',
      'claims',
      'sealed',
      '__proto__',
      'x',
    ),
    fc.option(values, { nil: undefined }),
    { maxKeys: 2 },
  )
  .map((given) => {
    const all: [string, unknown][] = [...Object.entries(usual), ...Object.entries(given)]
    return Object.fromEntries(all.filter(([, value]) => value !== undefined))
  })

const without = (one: { readonly [name: string]: unknown }, gone: string): object =>
  Object.fromEntries(Object.entries(one).filter(([name]) => name !== gone))

const codeOf = (run: () => unknown): string => {
  try {
    run()
    return 'none'
  } catch (error) {
    return error instanceof TidemarkError ? error.code : String(error)
  }
}

describe('a push', () => {
  test('is taken where its schema takes it, and nowhere else', () => {
    expect(isPlainChange(usual)).toBe(true)
    fc.assert(
      fc.property(
        fc.array(odd, { maxLength: 3 }),
        fc.constantFrom({}, { more: 1 }, { force: true }),
        (changes, more) => {
          for (const one of changes) if (isPlainChange(one)) expect(change.Check(one)).toBe(true)
          const body: unknown = { ...push(changes), ...more }
          // Claims that do not fit are told of their row, by the log.
          const others = changes.map((one) => (hasUnfitClaims(one) ? without(one, 'claims') : one))
          for (const one of changes)
            if (!hasUnfitClaims(one) && 'claims' in one) expect(claims.Check(one['claims'])).toBe(true)
          const fits = request.Check({ ...push(others), ...more })
          expect(codeOf(() => checkPush(body))).toBe(fits ? 'none' : 'bad_request')
          if (!fits) return
          expect(checkPush(body).changes).toEqual(
            changes.map((one) => (hasUnfitClaims(one) ? { ...one, claims: UNFIT_CLAIMS } : one)),
          )
        },
      ),
      { numRuns: 2_000 },
    )
    for (const body of [
      null,
      1,
      [],
      {},
      push(null),
      push({}),
      push([usual, 1]),
      push(Array.from({ length: 20_001 }, () => usual)),
    ])
      expect(codeOf(() => checkPush(body))).toBe('bad_request')
    const whole = push([usual])
    expect(checkPush(whole)).toBe(whole)
  })

  test('is nested no deeper than any body', () => {
    const nested = (levels: number): unknown => JSON.parse(`${'['.repeat(levels)}${']'.repeat(levels)}`)
    const deep = (levels: number) =>
      checkPush(push([usual, { ...usual, fields: { a: 1, b: nested(levels) } }]))
    // Around the value there are the request, its changes, the change and its fields.
    expect(codeOf(() => checkValueDepth(deep(MAX_JSON_DEPTH - 4)))).toBe('none')
    expect(codeOf(() => checkValueDepth(deep(MAX_JSON_DEPTH - 3)))).toBe('bad_request')
    expect(codeOf(() => checkValueDepth(deep(1_000_000)))).toBe('bad_request')
  })
})
