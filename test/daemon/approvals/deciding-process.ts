import { createInterface } from 'node:readline'

import { TidemarkError } from '../../../src/kernel/errors.ts'
import { DENY, openWorld } from './world.ts'

/**
 * A daemon's approvals in a process of their own, which may be killed at any moment. Usage: deciding-process.ts FOLDER.
 * Lines of the input: `ask ID`, `wait ID`, `approve ID`, `deny ID`, `cancel ID`; each is answered by one line of JSON once
 * it is answered, never sooner.
 */
const world = openWorld({ folder: process.argv[2] ?? '', durable: true })
const answer = (line: object): void => void process.stdout.write(`${JSON.stringify(line)}\n`)

async function carryOut(command: string, id: string): Promise<object> {
  if (command === 'ask') return world.ask({ id })
  if (command === 'wait') return world.get(id, 60)
  if (command === 'approve')
    return world.decide(id, { decision: 'approve', updated_input: { by: process.pid } })
  return command === 'deny' ? world.decide(id, DENY) : world.cancel(id)
}

createInterface({ input: process.stdin }).on('line', (line) => {
  const [command = '', id = ''] = line.split(' ')
  carryOut(command, id).then(
    (approval) => answer({ command, id, approval }),
    (error: unknown) => {
      if (!(error instanceof TidemarkError)) throw error
      answer({ command, id, code: error.code, details: error.details })
    },
  )
})
answer({ command: 'ready' })
