import type { Logger } from '../../kernel/logger.ts'
import { describeFailure } from '../../http/failures.ts'
import type { Database } from '../postgres/pool.ts'
import { refreshViews } from './refresh.ts'

/** Makes views anew beside the sync, and never in its way. */
export interface ViewKeeper extends AsyncDisposable {
  /** The schema of the space has risen. */
  refresh(space: string): void
}

export function createViewKeeper(database: Database, logger: Logger): ViewKeeper {
  const due = new Set<string>()
  let working: Promise<void> | null = null
  let closed = false

  async function work(): Promise<void> {
    for (let [space] = due; space !== undefined && !closed; [space] = due) {
      due.delete(space)
      try {
        await refreshViews(database, space)
      } catch (error) {
        const details = { space, ...describeFailure(error) }
        logger.warn('The views of a space were not made; see tidemark cloud views', details)
      }
    }
    working = null
  }

  return {
    refresh(space) {
      due.add(space)
      if (!closed) working ??= work()
    },
    async [Symbol.asyncDispose]() {
      closed = true
      await working
    },
  }
}
