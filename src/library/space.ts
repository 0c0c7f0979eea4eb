import { TidemarkError } from '../kernel/errors.ts'
import type { Driver, OpenOptions } from '../stores/sqlite/driver/driver.ts'
import { isAttached } from '../stores/sqlite/store/attach.ts'
import { Meta } from '../stores/sqlite/store/meta.ts'

/** The space that a file is put under sync with where none is named. */
export const DEFAULT_SPACE = 'default'

export function requireSpace(space: string, wanted: string | undefined): void {
  if (wanted === undefined || wanted === space) return
  throw new TidemarkError(
    'already_attached',
    'The file is under sync with another space; take it off first with `tidemark detach FILE`',
    { details: { space, wanted } },
  )
}

/** The space that a file is under sync with; null where it is with none. Throws `database_locked` at once. */
export function spaceOf(file: string, driver: Driver, setup: OpenOptions['setup']): string | null {
  const connection = driver.open(file, { busyMs: 0, ...(setup === undefined ? {} : { setup }) })
  try {
    return isAttached(connection) ? new Meta(connection).get('identity').space : null
  } finally {
    connection.close()
  }
}
