import { createHash } from 'node:crypto'

import { TidemarkError } from '../../kernel/errors.ts'
import type { ApprovalInput } from '../../protocol/approvals.ts'

/** Deeper JSON could be kept, but whoever reads it recurses. The API lets less through. */
const MAX_DEPTH = 64

/**
 * Refuses what could not be kept exactly as it came, so that nobody approves another text than the one that is used:
 * half a surrogate pair has no UTF-8, a number past the doubles no JSON. Throws `bad_request`, which names the field.
 */
export function requireExact(fields: { readonly [name: string]: unknown }): void {
  for (const [field, value] of Object.entries(fields)) requireValue(value, field, 0)
}

function requireValue(value: unknown, field: string, depth: number): void {
  if (typeof value === 'string') {
    if (!value.isWellFormed()) refuse(field, 'half a character (a lone surrogate)')
  } else if (typeof value === 'number') {
    if (!Number.isFinite(value)) refuse(field, 'a number beyond what JSON can be read back to')
  } else if (typeof value === 'object' && value !== null) {
    if (depth >= MAX_DEPTH) refuse(field, `more than ${MAX_DEPTH} levels of JSON`)
    for (const [key, inner] of Object.entries(value)) {
      requireValue(key, field, depth)
      requireValue(inner, field, depth + 1)
    }
  }
}

function refuse(field: string, what: string): never {
  throw new TidemarkError('bad_request', `The field ${field} holds ${what}`, { details: { field } })
}

/** What a repeat of a request is known by: all that was asked, in whatever order its keys came. */
export function hashRequest({ id: _, ...asked }: ApprovalInput): string {
  return createHash('sha256').update(sortedJson(asked)).digest('hex')
}

function sortedJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(sortedJson).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const fields = Object.entries(value)
    .filter(([, inner]) => inner !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${fields.map(([key, inner]) => `${JSON.stringify(key)}:${sortedJson(inner)}`).join(',')}}`
}
