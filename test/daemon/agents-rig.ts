import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { Value } from 'typebox/value'

import type { Handlers } from '../../src/daemon/api/handlers.ts'
import { openAgents, type Agents } from '../../src/daemon/agents/agents.ts'
import { agentHandlers } from '../../src/daemon/agents/handlers.ts'
import { systemClock, type Clock } from '../../src/kernel/clock.ts'
import { seededRandom } from '../../src/kernel/random.ts'
import { AGENT_OPERATIONS } from '../../src/protocol/agents-api.ts'
import type { AnswerOf } from '../../src/protocol/daemon-api.ts'

export type AgentCall = Exclude<keyof typeof AGENT_OPERATIONS, 'search'>

export interface AgentsRig extends Disposable {
  readonly file: string
  readonly agents: Agents
  /** How often the wake-up was called. */
  readonly wakes: () => number
  /** One request, whose answer must fit the contract. */
  ask<Id extends AgentCall>(
    id: Id,
    request?: {
      readonly id?: string
      readonly query?: object
      readonly body?: object
      readonly signal?: AbortSignal
    },
  ): Promise<AnswerOf<Id>>
}

/** `agents.db` in a folder of its own, and its handlers without a server. */
export function openRig(options: { readonly clock?: Clock; readonly file?: string } = {}): AgentsRig {
  const { clock = systemClock } = options
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-agents-'))
  const file = options.file ?? join(folder, 'agents.db')
  let wakes = 0
  const agents = openAgents({ file, clock, random: seededRandom(1), onWrite: () => void wakes++ })
  const handlers: Pick<Handlers, AgentCall> = agentHandlers(agents, clock)
  return {
    file,
    agents,
    wakes: () => wakes,
    async ask(id, { id: of, query = {}, body, signal = new AbortController().signal } = {}) {
      const handler = handlers[id] as (request: object) => Promise<AnswerOf<typeof id>>
      const answer = await handler({ id: of, query, body, signal, lastEventId: undefined })
      const { answer: schema } = AGENT_OPERATIONS[id]
      const errors = [answer, JSON.parse(JSON.stringify(answer))].flatMap((one) => Value.Errors(schema, one))
      if (errors.length > 0) throw new Error(`the answer of ${id} does not fit: ${JSON.stringify(errors[0])}`)
      return answer
    },
    [Symbol.dispose]() {
      agents[Symbol.dispose]()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
