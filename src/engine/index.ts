/** The public face of `tidemark/engine`. */
export { SyncEngine, type EngineEvent } from './engine.ts'
export type { IdentityGuard, Verdict } from './identity.ts'
export type { InboxDraft, InboxEntry, InboxKind, QuarantineEntry } from './inbox.ts'
export type { HydrateChunk, HydrateRequest, Provider } from './provider.ts'
export {
  localWins,
  manual,
  newestWins,
  remoteWins,
  type Conflict,
  type NamedResolver,
  type Resolution,
  type Resolver,
} from './resolvers.ts'
export type { EngineOptions } from './options.ts'
export type { Patience } from './patience.ts'
export type { EngineStatus } from './status.ts'
export type * from './store.ts'
export type { SyncResult } from './waiters.ts'
