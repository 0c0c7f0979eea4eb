import Type, { type TSchema } from 'typebox'

import type { ErrorCode } from '../kernel/errors.ts'
import { PageCursor } from './agents.ts'

export interface Operation {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE'
  /** Below `DAEMON_API`. */
  readonly path: string
  readonly summary: string
  readonly description: string
  readonly query?: TSchema
  readonly body?: TSchema
  /** Absent: the answer is a stream of server-sent events. */
  readonly answer?: TSchema
  /** Without a token. */
  readonly open?: true
  /** Beside those that every operation may answer. */
  readonly errors: readonly ErrorCode[]
}

const Limit = Type.Integer({ minimum: 1, maximum: 500 })
export const Text = Type.String({ minLength: 1, maxLength: 4_096 })
/** A place in a list, and how much of it. */
export const paged = { cursor: PageCursor, limit: Limit }
export const queryOf = <T extends { readonly [name: string]: TSchema }>(fields: T) =>
  Type.Partial(Type.Object(fields), { additionalProperties: false })
