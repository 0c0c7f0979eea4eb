/** The public face of `tidemark/client`: the API of a daemon on this machine. */
export { createDaemonClient, type DaemonClient, type DaemonClientOptions } from './daemon-client.ts'
export type { StreamedEvent } from './events.ts'
export { TidemarkError, type ErrorCode } from '../kernel/errors.ts'
export type { AnswerOf, BodyOf, CallId, QueryOf } from '../protocol/daemon-api.ts'
export type { DaemonEvent } from '../protocol/daemon-status.ts'
