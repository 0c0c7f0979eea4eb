/**
 * `node agents-writer.ts FILE FIRST ROWS`: writes batches of so many rows through the handlers until it is killed, and says the number of each
 * that was answered. Every third batch adds to messages of the one before, too.
 */
import { writeSync } from 'node:fs'

import { openAgents } from '../../src/daemon/agents/agents.ts'
import { agentHandlers } from '../../src/daemon/agents/handlers.ts'
import { systemClock } from '../../src/kernel/clock.ts'
import { systemRandom } from '../../src/kernel/random.ts'

const TEXT = 'a text that takes some room '.repeat(20)

const [file = '', first, rows] = process.argv.slice(2)

using agents = openAgents({ file, clock: systemClock, random: systemRandom })
const api = agentHandlers(agents, systemClock)
const request = { signal: new AbortController().signal, lastEventId: undefined, query: undefined }
for (let number = Number(first); ; number++) {
  const session = { id: 's', title: `batch ${number}` }
  await api.createSession({ ...request, id: undefined, body: session })
  const messages = Array.from({ length: Number(rows) }, (_, at) => ({
    id: `${number}-${at}`,
    role: `${number}`,
    text: TEXT,
  }))
  const earlier = number % 3 === 0 && number > 0 ? [{ id: `${number - 1}-0`, model: `by ${number}` }] : []
  await api.createMessages({ ...request, id: 's', body: { messages: [...messages, ...earlier] } })
  writeSync(1, `${number}\n`)
}
