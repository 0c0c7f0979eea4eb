import { TidemarkError } from '../../kernel/errors.ts'
import type { Directory, Grant } from '../directory.ts'
import type { Log } from '../log/log.ts'
import { requireSpace } from './access.ts'

type Work<T> = (id: string) => Promise<T>

export interface Spaces {
  /** Runs `work` with the id of a space the grant reaches. Throws `forbidden`, `space_not_found`. */
  find<T>(grant: Grant, name: string, work: Work<T>): Promise<T>
  /** The same, and makes the space when the grant may write. */
  open<T>(grant: Grant, name: string, work: Work<T>): Promise<T>
}

/** Spaces whose ids are remembered; the id of a space never changes while it is there. */
const MAX_KNOWN = 10_000

/** From the names clients use to the ids the log knows. Two accounts' spaces of one name are two spaces (I12). */
export function createSpaces(directory: Directory, log: Log): Spaces {
  const known = new Map<string, string>()

  /** Asks the directory; with `make` there is one afterwards. */
  const lookUp = async (grant: Grant, name: string, make: boolean): Promise<string> => {
    const found = await directory.findSpace(grant.account, name)
    const id = found ?? (make ? await directory.ensureSpace(grant.account, name, grant.tokenId) : null)
    if (id === null) throw new TidemarkError('space_not_found', undefined, { details: { space: name } })
    // The directory may know a space that a crash kept the log from making.
    await log.ensureSpace(id)
    return id
  }

  const use = async <T>(grant: Grant, name: string, make: boolean, work: Work<T>): Promise<T> => {
    requireSpace(grant, name)
    const place = `${grant.account}\0${name}`
    const remembered = known.get(place)
    if (remembered !== undefined) {
      try {
        return await work(remembered)
      } catch (error) {
        // A database that was put back under this node has lost it: what is there by now is asked for.
        if (!(error instanceof TidemarkError) || error.code !== 'space_not_found') throw error
        known.delete(place)
      }
    }
    const id = await lookUp(grant, name, make)
    known.set(place, id)
    const [oldest] = known.keys()
    if (known.size > MAX_KNOWN && oldest !== undefined) known.delete(oldest)
    return work(id)
  }

  return {
    find: (grant, name, work) => use(grant, name, false, work),
    open: (grant, name, work) => use(grant, name, grant.scopes.includes('write'), work),
  }
}
