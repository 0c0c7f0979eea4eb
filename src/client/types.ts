import type { AnswerOf, BodyOf, CallId, HasId, OperationId, QueryOf } from '../protocol/daemon-api.ts'

type IdPart<Id extends OperationId> = HasId<Id> extends true ? { readonly id: string } : unknown
type QueryPart<Id extends OperationId> =
  QueryOf<Id> extends undefined
    ? unknown
    : Partial<QueryOf<Id>> extends QueryOf<Id>
      ? { readonly query?: QueryOf<Id> }
      : { readonly query: QueryOf<Id> }
type BodyPart<Id extends OperationId> = BodyOf<Id> extends undefined ? unknown : { readonly body: BodyOf<Id> }

/** What an operation is called with: the `id` of its path, `query`, `body`, as far as it has them. */
export type CallInput<Id extends OperationId> = IdPart<Id> &
  QueryPart<Id> &
  BodyPart<Id> & {
    /** Aborted: the call rejects with `aborted`. */
    readonly signal?: AbortSignal | undefined
  }
/** Left out where nothing in it is required. */
export type CallArguments<Id extends OperationId> =
  Partial<CallInput<Id>> extends CallInput<Id> ? [input?: CallInput<Id>] : [input: CallInput<Id>]

/** One method for each operation that answers once. Each rejects with a `TidemarkError`. */
export type DaemonCalls = {
  readonly [Id in CallId]: (...input: CallArguments<Id>) => Promise<AnswerOf<Id>>
}

/** Operations that answer a page of a list. */
export type ListId = {
  [Id in CallId]: AnswerOf<Id> extends { next: string | null } ? Id : never
}[CallId]
/** What such a list is of. */
export type ItemOf<Id extends ListId> =
  Extract<AnswerOf<Id>[keyof AnswerOf<Id>], readonly unknown[]> extends readonly (infer Item)[] ? Item : never
