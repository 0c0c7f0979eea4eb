import { homedir } from 'node:os'

import type Database from 'better-sqlite3'

import type { Clock } from '../../kernel/clock.ts'
import { TidemarkError, toTidemarkError } from '../../kernel/errors.ts'
import type { Logger } from '../../kernel/logger.ts'
import { uuidV7, type Random } from '../../kernel/random.ts'
import type { Approval, ApprovalInput, Decision } from '../../protocol/approvals.ts'
import type { Handlers, Streams } from '../api/handlers.ts'
import type { EventLog } from '../changes/event-log.ts'
import { openAudit } from './audit.ts'
import { streamContext } from './context-stream.ts'
import { startCopies } from './copies.ts'
import { watchExpiry } from './expiry.ts'
import { findForeign } from './foreign.ts'
import { openLedger, type Decided } from './ledger.ts'
import { openList } from './list.ts'
import { requireExact } from './request.ts'
import { openRuleBook } from './rule-book.ts'
import { evaluateRules, type Verdict } from './rules/evaluate.ts'
import { namedPaths, placesOf } from './rules/paths.ts'
import { createWaiters } from './waiters.ts'

type ApprovalOperation =
  | 'listApprovals'
  | 'createApproval'
  | 'getApproval'
  | 'decideApproval'
  | 'cancelApproval'
  | 'listRules'
  | 'createRule'
  | 'deleteRule'
  | 'listAudit'

export interface Approvals extends Disposable {
  readonly handlers: Pick<Handlers, ApprovalOperation>
  readonly streams: Pick<Streams, 'streamApprovalContext'>
  /** Requests that wait for a decision now. */
  readonly waiting: number
  /** One of this daemon's; null: there is none. */
  find(id: string): Approval | null
}

/**
 * Approvals, their rules and the audit. Decisions are made in `daemon.db` alone (D1, D2); `agents` is where copies are
 * put and those of other devices are read. Disposing ends every wait with the state as it is; the databases are the
 * caller's, to be closed after that.
 */
export function openApprovals(options: {
  readonly database: Database.Database
  /** On the same connection: events are written in the transaction of what they tell. */
  readonly events: EventLog
  readonly agents: { readonly database: Database.Database }
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly expirySeconds: () => number
}): Approvals {
  const { database, events, agents, clock, random, logger, expirySeconds } = options
  const audit = openAudit(database, clock)
  const book = openRuleBook({ database, audit, clock, random })
  const ledger = openLedger({ database, events, audit, clock, onWrite })
  const waiters = createWaiters<Approval | null>(clock, (id) => ledger.find(id))
  const copies = startCopies({ database, agents, clock, random, logger })
  const expiry = watchExpiry({ clock, logger, ledger })
  const list = openList({ database, agents, logger })
  expiry.look()
  copies.look()

  /** What was decided is on the disk: nothing that fails here may look as if it were not. */
  function onWrite(resolved: readonly string[]): void {
    for (const hear of [
      () => waiters.wake(resolved),
      () => expiry.look(),
      () => copies.look(),
      () => events.wake(),
    ]) {
      try {
        hear()
      } catch (error) {
        logger.error('an approval was written, but somebody could not be told', {
          code: toTidemarkError(error).code,
        })
      }
    }
  }
  const unknown = (id: string): TidemarkError =>
    findForeign(agents.database, id) === null
      ? new TidemarkError('not_found', 'There is no such approval')
      : new TidemarkError('not_owned')
  const decide = (id: string, decided: Decided): Approval => {
    const row = ledger.decide(id, decided)
    if (row === null) throw unknown(id)
    return row
  }
  /** Looks up paths before the transaction, which can't wait. Rules that were made meanwhile find them unknown: ask. */
  const judgeOf = async ({ tool_name, tool_input = null }: ApprovalInput): Promise<() => Verdict> => {
    const looks = book.rulesFor(tool_name).some(({ path }) => path !== undefined)
    const named = looks ? namedPaths(tool_input, homedir()) : null
    const places = new Map<string, readonly string[] | null>()
    for (const path of named ?? []) places.set(path, await placesOf(path))
    return () =>
      evaluateRules(book.rulesFor(tool_name), {
        tool_name,
        tool_input,
        named,
        places: (path) => places.get(path) ?? null,
      })
  }

  return {
    handlers: {
      listApprovals: ({ query }) => {
        ledger.expireDue()
        return list(query)
      },
      createApproval: async ({ body, query, signal }) => {
        requireExact(body)
        const judge = await judgeOf(body)
        const id = body.id ?? uuidV7(clock.now(), random)
        ledger.expireDue()
        // D3: before anybody can see it.
        const waiter = query.wait ? waiters.register(id, query.wait * 1_000, signal) : null
        try {
          const made = ledger.create(body, id, expirySeconds(), judge)
          if (made.status !== 'pending' || waiter === null) return made
          return (await waiter.answer) ?? made
        } finally {
          waiter?.end()
        }
      },
      getApproval: async ({ id, query, signal }) => {
        ledger.expireDue()
        const found = ledger.find(id)
        if (found === null) {
          const foreign = findForeign(agents.database, id)
          if (foreign === null) throw unknown(id)
          // D2: who waits acts on the answer, and on nothing that sync can write.
          if (query.wait !== undefined) throw new TidemarkError('not_owned')
          return foreign
        }
        if (found.status !== 'pending' || !query.wait) return found
        return (await waiters.register(id, query.wait * 1_000, signal).answer) ?? found
      },
      decideApproval: ({ id, body }) => {
        requireExact(body)
        return decide(id, toDecided(body))
      },
      cancelApproval: ({ id }) => decide(id, { status: 'cancelled', comment: null, updatedInput: null }),
      ...book.handlers,
      listAudit: ({ query }) => audit.list(query),
    },
    streams: {
      streamApprovalContext: async function* ({ id, signal }) {
        const context = ledger.context(id)
        if (context === null)
          throw new TidemarkError('not_found', 'There is no context of such an approval here')
        yield* streamContext(context, signal)
      },
    },
    find: (id) => ledger.find(id),
    get waiting() {
      return waiters.size
    },
    [Symbol.dispose]() {
      for (const part of [expiry, copies, waiters]) part[Symbol.dispose]()
    },
  }
}

function toDecided(body: Decision): Decided {
  if (body.decision === 'deny') return { status: 'denied', comment: body.comment, updatedInput: null }
  const { comment = null, updated_input = null } = body
  return {
    status: 'approved',
    comment,
    updatedInput: updated_input === null ? null : JSON.stringify(updated_input),
  }
}
