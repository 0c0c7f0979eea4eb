import type { Directory } from '../../../src/cloud/directory.ts'
import type { TestCloud } from '../test-cloud.ts'

/** All that a cloud keeps, as text, read past its routes. Visits are none of it: they are noted whoever asks. */
export interface Portrait {
  /** Spaces with something in them, devices, tokens. */
  readonly kept: string
  /** Spaces with nothing in them, such as are made when somebody who may write asks for them; the end of the audit. */
  readonly empty: string
}

const PAGE = 100_000

export async function portray({ log, directory }: TestCloud): Promise<Portrait> {
  const spaces = await directory.listSpaces()
  const seen = await Promise.all(
    spaces.map(async ({ account, name, id }) => {
      const status = await log.status(id).catch(() => null)
      if (status === null || (status.head === 0 && status.schema === 0 && status.replicas === 0))
        return { isEmpty: true, parts: [account, name] }
      const [{ lines }, schema] = await Promise.all([log.hydratePage(id, null, PAGE), log.readSchema(id)])
      return { isEmpty: false, parts: [account, name, status, schema, lines] }
    }),
  )
  const kept = [seen.filter(({ isEmpty }) => !isEmpty), await portrayOwners(directory)]
  const empty = [seen.filter(({ isEmpty }) => isEmpty), await directory.audit(1)]
  return { kept: JSON.stringify(kept), empty: JSON.stringify(empty) }
}

/** Devices and tokens. */
export async function portrayOwners(directory: Directory): Promise<string> {
  const devices = await Promise.all(
    ['ours', 'theirs'].map(async (account) =>
      (await directory.listDevices(account)).map(({ last_seen_at: _, ...device }) => ({ account, device })),
    ),
  )
  const tokens = (await directory.listTokens()).map(({ lastUsedAt: _, ...token }) => token)
  return JSON.stringify([devices, tokens])
}
