import { TidemarkError } from '../../kernel/errors.ts'
import { canonicalPath } from '../../machine/files.ts'
import { toSystemError } from '../../machine/failures.ts'
import type { Machine } from '../../machine/machine.ts'
import { AGENT_TABLES } from '../agents/schema.ts'
import { attachFile } from '../attach.ts'
import { findAttachment, isTakenOff } from '../attachments.ts'
import { readSpace, resumeFile } from '../rejoin.ts'
import type { SyncSettings } from './sync-settings.ts'

/** The space of `agents.db`. */
const AGENTS_SPACE = 'agents'

/** Puts the agents' database under sync, once it may be. */
export interface OwnSpace {
  /** Attaches it where sync is on; what a person attached or took off by hand stays as they left it. */
  attach(settings: SyncSettings): Promise<void>
  /** Ends what is under way. */
  close(): Promise<void>
}

/**
 * `agents.db` as a file under sync like any other: exactly its nine tables, joined with what other devices have in the
 * space. Never taken off by itself: its unsent changes and its place in the history would be lost.
 */
export function createOwnSpace(options: {
  readonly machine: Machine
  readonly attached: () => void
  /** Told once for each reason. */
  readonly failed: (error: TidemarkError) => void
}): OwnSpace {
  const { machine, attached, failed } = options
  const { folders } = machine
  const file = canonicalPath(folders.agents)
  let told: string | null = null
  let at: Promise<void> = Promise.resolve()
  let closed = false

  const attach = async ({ engine, profile }: SyncSettings): Promise<void> => {
    if (closed || engine === null || isTakenOff(folders, file)) return
    if (findAttachment(folders, file) !== undefined) return
    try {
      // A data folder that was restored, or copied from another machine.
      if ((await readSpace(file)) !== null) await resumeFile({ ...machine, file, profile })
      else {
        const { connection } = engine
        const tables = [...AGENT_TABLES]
        await attachFile({ ...machine, file, space: AGENTS_SPACE, tables, connection, profile, merge: true })
      }
      told = null
      attached()
    } catch (thrown) {
      const error = toSystemError(thrown)
      if (error.code === told) return
      told = error.code
      failed(error)
    }
  }
  return {
    attach: (settings) => (at = at.then(() => attach(settings))),
    async close() {
      closed = true
      await at
    },
  }
}
