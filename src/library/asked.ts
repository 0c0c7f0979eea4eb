import type { Tables } from './conflict.ts'
import { requireFit } from './given.ts'
import type { OperationControl } from './parts.ts'
import type { ProgressListener } from './progress.ts'
import type { ConflictResolver } from './resolvers.ts'

/** What an operation is asked for with. */
export interface AskedOperation<Known extends Tables> {
  readonly entityTypes?: readonly (keyof Known & string)[] | undefined
  readonly resolver?: ConflictResolver<Known> | undefined
  readonly onProgress?: ProgressListener | undefined
  readonly control?: OperationControl | undefined
  readonly onTurn?: () => void
}

/** Whoever passes an argument over gives null for it, as often as undefined. Throws `bad_usage`. */
export function requireAsked<Known extends Tables>(given: AskedOperation<Known>): AskedOperation<Known> {
  const { entityTypes, resolver, onProgress, control, onTurn } = given
  const asked = {
    entityTypes: entityTypes ?? undefined,
    resolver: resolver ?? undefined,
    onProgress: onProgress ?? undefined,
    control: control ?? undefined,
  }
  requireFit(asked)
  requireFit({ signal: asked.control?.signal })
  return onTurn === undefined ? asked : { ...asked, onTurn }
}
