import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { installExamples, serveCloud, type Installed } from './installed.ts'

let installed: Installed

beforeAll(() => {
  installed = installExamples()
})
afterAll(() => installed[Symbol.dispose]())

it.each(['node-sqlite', 'knex'])('examples/%s fits the declarations of the package', (example) => {
  expect(installed.check(example)).toBe('')
})

describe('examples/node-sqlite', () => {
  it('notes are kept without a cloud, and reach a second device with one', async () => {
    await using cloud = await serveCloud(installed.folder)
    const on = (file: string, env: { readonly [name: string]: string } = cloud.env) => ({
      notes: async (...args: readonly string[]) => {
        const { code, said } = await installed.run('node-sqlite', ['--no-warnings', 'notes.ts', ...args], {
          NOTES_FILE: file,
          ...env,
        })
        expect(code, said).toBe(0)
        return said.trim().split('\n')
      },
    })
    const offline = on('laptop.db', {})
    expect(await offline.notes('add', 'Buy bread')).toEqual([''])
    expect(await offline.notes('list')).toEqual(['- Buy bread'])
    expect(await offline.notes('sync')).toEqual([
      'No cloud: set TIDEMARK_ENDPOINT and TIDEMARK_TOKEN to sync',
    ])

    const [laptop, phone] = [on('laptop.db'), on('phone.db')]
    expect(await laptop.notes('sync')).toEqual(['1 sent, 0 received'])
    expect(await phone.notes('sync')).toEqual(['0 sent, 1 received'])
    await laptop.notes('edit', 'Buy bread', 'Buy rye bread')
    await phone.notes('edit', 'Buy bread', 'Buy two breads')
    await laptop.notes('sync')
    expect((await phone.notes('sync'))[0]).toBe('Two texts met: "Buy two breads" here, "Buy rye bread" there')
    await laptop.notes('sync')
    expect(await laptop.notes('list')).toEqual(['- Buy two breads'])
    expect(await phone.notes('list')).toEqual(['- Buy two breads'])
  })

  it('says in a line what is wrong with the token', async () => {
    await using cloud = await serveCloud(installed.folder)
    const { code, said } = await installed.run('node-sqlite', ['--no-warnings', 'notes.ts', 'sync'], {
      ...cloud.env,
      TIDEMARK_TOKEN: 'tdm_wrong',
      TIDEMARK_DATA_DIR: `${installed.folder}/stranger`,
    })
    expect({ code, lines: said.trim().split('\n') }).toEqual({
      code: 1,
      lines: [expect.stringContaining('Authentication failed')],
    })
  })
})

describe('examples/knex', () => {
  it('two devices are equal after conflicts, transactions and migrations', async () => {
    await using cloud = await serveCloud(installed.folder)
    const { code, said } = await installed.run('knex', ['main.ts'], cloud.env)
    expect(code, said).toBe(0)
    const lines = said.split('\n')
    for (const line of [
      '  phone: 3 wait, 0 failed',
      '  phone: "Buy two breads" met "Buy rye bread"; both are kept in the inbox',
      'Both devices are equal.',
      'The phone synced 4 times; conflicts decided: 1',
      'Its retry queue: {"pending":0,"failed":0,"completed":0,"total":0}',
    ])
      expect(lines).toContain(line)
    expect(lines.slice(-11, -4)).toEqual([
      '  [ ] Buy candles',
      '  [ ] Buy two breads',
      '  [x] Call Ada',
      '  [ ] Clean up (due 2027-01-01)',
      '  [ ] Find the guitar',
      '  [ ] Hire a band',
      '  [ ] Write cards',
    ])
  })

  it('says how to start without a cloud', async () => {
    const { code, said } = await installed.run('knex', ['main.ts'])
    expect({ code, said }).toEqual({ code: 1, said: expect.stringContaining('Set TIDEMARK_ENDPOINT') })
  })
})
