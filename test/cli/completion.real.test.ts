import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { openMachine, type Machine } from '../command-line.ts'
import { hasShell, OFFERED, openShell } from './shells.ts'

let machine: Machine
beforeAll(async () => {
  machine = await openMachine()
})
afterAll(() => machine[Symbol.asyncDispose]())

describe.each(['zsh', 'fish'])('in %s', (name) => {
  // Debian has both as packages of their names.
  test.skipIf(!hasShell(name)).each(OFFERED)('%s', async (line, has, lacks) => {
    using shell = openShell(name, (await machine.tidemark('completion', name)).out)
    const offered = shell.complete(line)
    expect(offered).toEqual(expect.arrayContaining([...has]))
    for (const word of lacks) expect(offered).not.toContain(word)
  })
})
