import { TidemarkError } from '../../kernel/errors.ts'
import { MAX_NAME_CHARS, MAX_PUSH_CHANGES } from '../../protocol/limits.ts'
import { PushRequest } from '../../protocol/push.ts'
import { compileCheck } from '../../http/check.ts'
import { arePlainClaims, hasUnfitClaims, UNFIT_CLAIMS } from './claims-check.ts'
import { MAX_JSON_DEPTH } from '../../http/limits.ts'

const checkWhole = compileCheck(PushRequest)
const MAX_KEY_CHARS = 1_024
const BRACKET = '['.charCodeAt(0)

/**
 * A push request by its schema. Throws `bad_request`. Claims that do not fit are the fault of their row alone and come
 * back as `UNFIT_CLAIMS` (I9): values of an application decide how long they are. Changes that are plainly as the
 * schema wants them are told by hand, since there are thousands and each of its patterns runs for every property name;
 * all others by the schema.
 */
export function checkPush(value: unknown): PushRequest {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return checkWhole(value)
  const { changes } = value as { readonly changes?: unknown }
  if (!Array.isArray(changes) || changes.length > MAX_PUSH_CHANGES) return checkWhole(value)
  if (!changes.every(isPlainChange)) return checkClaimed(value, changes)
  checkWhole({ ...value, changes: [] })
  return value as PushRequest
}

/** By the schema, with stand-ins for claims that do not fit. */
function checkClaimed(value: object, changes: readonly unknown[]): PushRequest {
  const unfit = new Set(changes.flatMap((change, at) => (hasUnfitClaims(change) ? [at] : [])))
  if (unfit.size === 0) return checkWhole(value)
  const others = changes.map((change, at) => {
    if (!unfit.has(at)) return change
    const { claims: _, ...rest } = change as { readonly claims: unknown }
    return rest
  })
  const request = checkWhole({ ...value, changes: others })
  return {
    ...request,
    changes: request.changes.map((change, at) =>
      unfit.has(at) ? { ...change, claims: UNFIT_CLAIMS } : change,
    ),
  }
}

/** True only for what the schema of a change takes: the common forms of it. */
export function isPlainChange(change: unknown): boolean {
  if (typeof change !== 'object' || change === null || Array.isArray(change)) return false
  const { table, key, op, base, hlc, fields, claims, was } = change as { readonly [name: string]: unknown }
  // A property that is undefined cannot come out of JSON: each of those read is own, or its value is refused.
  for (const name in change) if (!PLAIN.has(name)) return false
  return (
    typeof table === 'string' &&
    table.length > 0 &&
    table.length <= MAX_NAME_CHARS &&
    typeof key === 'string' &&
    key.length > 1 &&
    key.length <= MAX_KEY_CHARS &&
    key.charCodeAt(0) === BRACKET &&
    (op === 'put' || op === 'delete') &&
    isCount(base) &&
    isCount(hlc) &&
    (was === undefined || isCount(was)) &&
    (claims === undefined || arePlainClaims(claims)) &&
    (fields === undefined || (typeof fields === 'object' && fields !== null && !Array.isArray(fields)))
  )
}

const PLAIN = new Set(['table', 'key', 'op', 'base', 'hlc', 'fields', 'claims', 'was'])

const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0

/** Levels of a request around the values of a row: itself, its changes, a change, its fields. */
const LEVELS_AROUND = 4

/** Throws `bad_request` where a value is nested as no request may be; everything else the schema bounds. */
export function checkValueDepth({ changes }: PushRequest): void {
  for (const { fields } of changes) {
    for (const name in fields) {
      const value = fields[name]
      if (typeof value !== 'object' || value === null || isShallow(value, MAX_JSON_DEPTH - LEVELS_AROUND))
        continue
      throw new TidemarkError('bad_request', `The body is nested deeper than ${MAX_JSON_DEPTH}`)
    }
  }
}

function isShallow(value: object, levels: number): boolean {
  if (levels === 0) return false
  for (const item of Object.values<unknown>(value as { readonly [name: string]: unknown }))
    if (typeof item === 'object' && item !== null && !isShallow(item, levels - 1)) return false
  return true
}
