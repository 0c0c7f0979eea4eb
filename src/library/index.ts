/** The public face of `tidemark`: conflict resolvers for applications. */
export type { ConflictOf, Row, SyncConflict, Tables } from './conflict.ts'
export {
  ConflictResolverFactory,
  ConflictResolvers,
  toEngineResolver,
  type ConflictAnswer,
  type ConflictResolver,
} from './resolvers.ts'
