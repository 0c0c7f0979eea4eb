import type {
  AnswerOf,
  BodyOf,
  CallId,
  HasId,
  OperationId,
  QueryOf,
  StreamId,
} from '../../protocol/daemon-api.ts'

/** One request of the API, checked against its operation's schemas already. */
export interface ApiRequest<Id extends OperationId> {
  /** Of the path. */
  readonly id: HasId<Id> extends true ? string : undefined
  readonly query: QueryOf<Id>
  readonly body: BodyOf<Id>
  /** Aborted when whoever asked went away, or the daemon stops: what waits ends then. */
  readonly signal: AbortSignal
  /** Where a stream goes on: the `Last-Event-ID` of the request, as it came. */
  readonly lastEventId: string | undefined
}

/** One server-sent event; `data` is sent as JSON. */
export interface ServerSentEvent {
  readonly event: string
  readonly id?: number
  readonly data: unknown
}

/** One function for each operation; it throws a `TidemarkError` for what it refuses. */
export type Handlers = {
  readonly [Id in CallId]: (request: ApiRequest<Id>) => AnswerOf<Id> | Promise<AnswerOf<Id>>
}
/** Fails before its first event, or streams. */
export type Streams = {
  readonly [Id in StreamId]: (request: ApiRequest<Id>) => AsyncIterable<ServerSentEvent>
}
