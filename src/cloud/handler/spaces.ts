import { TidemarkError } from '../../kernel/errors.ts'
import type { Directory, Grant } from '../directory.ts'
import type { Log } from '../log/log.ts'
import { requireSpace } from './access.ts'

export interface Spaces {
  /** The id of a space the grant reaches. Throws `forbidden`, `space_not_found`. */
  find(grant: Grant, name: string): Promise<string>
  /** The same, and makes the space when the grant may write. */
  open(grant: Grant, name: string): Promise<string>
}

/** From the names clients use to the ids the log knows. Two accounts' spaces of one name are two spaces (I12). */
export function createSpaces(directory: Directory, log: Log): Spaces {
  const ready = new Set<string>()

  /** The directory may know a space that a crash kept the log from making. */
  const makeReady = async (id: string): Promise<string> => {
    if (!ready.has(id)) {
      await log.ensureSpace(id)
      ready.add(id)
    }
    return id
  }

  const find = async (grant: Grant, name: string): Promise<string> => {
    requireSpace(grant, name)
    const id = await directory.findSpace(grant.account, name)
    if (id === null) throw new TidemarkError('space_not_found', undefined, { details: { space: name } })
    return makeReady(id)
  }

  return {
    find,
    async open(grant, name) {
      if (!grant.scopes.includes('write')) return find(grant, name)
      requireSpace(grant, name)
      const id =
        (await directory.findSpace(grant.account, name)) ??
        (await directory.ensureSpace(grant.account, name, grant.tokenId))
      return makeReady(id)
    },
  }
}
