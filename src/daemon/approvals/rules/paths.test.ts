import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import type { Rule } from '../../../protocol/approvals.ts'
import { evaluateRules } from './evaluate.ts'
import { namedPaths, pathFault, placesOf } from './paths.ts'

const folder = realpathSync(mkdtempSync(join(tmpdir(), 'tidemark-paths-')))
const inside = join(folder, 'inside')
const outside = join(folder, 'outside')
beforeAll(() => {
  mkdirSync(join(inside, 'deep'), { recursive: true })
  mkdirSync(outside)
  writeFileSync(join(inside, 'a.txt'), '')
  writeFileSync(join(outside, 'secret'), '')
  symlinkSync(outside, join(inside, 'way-out'))
  symlinkSync(join(outside, 'secret'), join(inside, 'secret-link'))
  symlinkSync(join(outside, 'not-there'), join(inside, 'into-nowhere'))
  symlinkSync('loop-b', join(inside, 'loop-a'))
  symlinkSync('loop-a', join(inside, 'loop-b'))
  symlinkSync(inside, join(outside, 'way-in'))
  symlinkSync(join(inside, 'a.txt'), join(outside, 'a-link'))
  symlinkSync('deep', join(inside, 'to-deep'))
})
afterAll(() => rmSync(folder, { recursive: true }))

const rule = (action: Rule['action'], path: string): Rule => ({
  id: action,
  action,
  tool_name: 'Edit',
  path,
  note: null,
  created_at: 0,
})

async function decide(tool_input: unknown, rules: readonly Rule[]): Promise<string> {
  const named = namedPaths(tool_input, '/home/of-nobody')
  const input = tool_input as { readonly file_path?: unknown; readonly path?: unknown } | null
  const looked = new Map<string, readonly string[] | null>()
  for (const path of [...(named ?? []), input?.file_path, input?.path])
    if (typeof path === 'string') looked.set(path, await placesOf(path))
  return evaluateRules(rules, {
    tool_name: 'Edit',
    tool_input,
    named,
    places: (path) => looked.get(path) ?? null,
  }).action
}
const allowed = (path: string) => decide({ file_path: path }, [rule('allow', `${inside}/`)])

describe('D4: allow rules for paths', () => {
  it('allow what lies in the folder, there or not yet, also behind a link that stays in it', async () => {
    for (const path of [
      'a.txt',
      'new',
      'deep/new',
      'new/newer/x.ts',
      'to-deep/x',
      'ä ö/ü.txt',
      '@a+b,c=d/#1',
    ])
      expect([path, await allowed(`${inside}/${path}`)]).toEqual([path, 'allow'])
  })

  it('ask for what leads out of the folder, or nobody knows where', async () => {
    for (const path of [
      'way-out/secret',
      'way-out/new',
      'way-out',
      'secret-link',
      'into-nowhere',
      'loop-a',
      'loop-a/x',
      'a.txt/x',
    ])
      expect([path, await allowed(`${inside}/${path}`)]).toEqual([path, 'ask'])
    for (const path of [
      `${outside}/a-link`,
      `${outside}/secret`,
      `${inside}-else/x`,
      inside,
      `${inside}/`,
      '/',
      '',
    ])
      expect([path, await allowed(path)]).toEqual([path, 'ask'])
  })

  it('ask for a path that is too deep to be followed', async () => {
    expect(await allowed(`${inside}${'/a'.repeat(200)}`)).toBe('allow')
    expect(await allowed(`${inside}${'/a'.repeat(300)}`)).toBe('ask')
  })

  it('allow what a link outside leads into, since it stands and leads inside', async () => {
    expect(await allowed(`${outside}/way-in/a.txt`)).toBe('allow')
  })

  it.each([
    '/../outside/secret',
    '/./a.txt',
    '//a.txt',
    '/deep/../a.txt',
    '/a.txt/',
    '/a.txt/.',
    '/a.txt/..',
    '/.',
    '/..',
    '/a.txt ',
    '/a.txt.',
    '/ a.txt',
    '/deep /x',
    '/deep./x',
    '/a*',
    '/a?',
    '/[a]',
    '/{a,b}',
    '/$HOME',
    '/`x`',
    '/~x',
    '/a\\b',
    '/a:b',
    '/a\0',
    '/a\n',
    '/a​',
    '/a‮',
    '/a\xA0b',
    '/ä',
    '/a\ud800',
    '/%2e%2e/x',
    "/'a'",
    '/"a"',
    `/${'x'.repeat(5e3)}`,
  ])('ask for the folder and %j', async (end) => {
    expect(await allowed(inside + end)).toBe('ask')
  })

  it('ask for paths that are not absolute', async () => {
    for (const path of [
      'a.txt',
      './a.txt',
      '../x',
      '~/x',
      'C:\\x',
      'c:/x',
      '\\\\server\\x',
      `file://${inside}/a.txt`,
      ` ${inside}/a.txt`,
    ])
      expect([path, await allowed(path)]).toEqual([path, 'ask'])
  })

  it('take inputs with one path and known fields only', async () => {
    const file_path = `${inside}/a.txt`
    const rules = [rule('allow', `${inside}/`)]
    for (const more of [
      {},
      { content: 'x' },
      { old_string: 'a', new_string: '/etc', replace_all: true },
      { offset: 1, limit: 2 },
    ])
      expect(await decide({ file_path, ...more }, rules)).toBe('allow')
    for (const more of [
      { path: file_path },
      { notebook_path: file_path },
      { file: '/x' },
      { content: {} },
      { command: 'x' },
      { edits: [] },
      { target: 'x' },
      { offset: '1' },
    ])
      expect(await decide({ file_path, ...more }, rules)).toBe('ask')
    for (const input of [
      null,
      [],
      file_path,
      { file_path: [file_path] },
      { file_path: null },
      { FILE_PATH: file_path },
      { filePath: file_path },
      {},
    ])
      expect(await decide(input, rules)).toBe('ask')
  })

  it('allow exactly the file where the rule names one', async () => {
    const rules = [rule('allow', `${inside}/a.txt`)]
    expect(await decide({ file_path: `${inside}/a.txt` }, rules)).toBe('allow')
    for (const path of ['a.txtx', 'a.tx', 'a.txt/b', 'A.txt'])
      expect(await decide({ file_path: `${inside}/${path}` }, rules)).toBe('ask')
  })

  it('allow nothing that resolving would change', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom('/', '.', '..', 'a', ' ', '\\', '~', '\0')), (pieces) => {
        const path = `/${pieces.join('')}`
        if (pathFault(path) !== null) return
        expect(new URL(`file://${path}`).pathname.replaceAll('%20', ' ')).toBe(path)
      }),
    )
  })
})

describe('D4: rules against paths', () => {
  it.each([
    { file_path: '/etc/passwd' },
    { file_path: '/etc' },
    { file_path: '/etc/' },
    { file_path: '//etc//passwd' },
    { file_path: '/a/../etc/x' },
    { file_path: '../../../etc/passwd' },
    { path: 'etc/passwd' },
    { anything: { deep: ['/etc/x'] } },
    { uri: 'file:///etc/passwd' },
    {
      cwd: '/etc',
      file_path: 'passwd',
    },
    { command: 'cat /etc/passwd' },
    { command: "cat '/etc/passwd'" },
    { command: 'x>/etc/passwd' },
    '/etc/passwd',
    ['cat', '/etc/passwd'],
    {
      file_path: '/x',
      other: '/etc/passwd',
    },
    { command: 'x --file=/etc/passwd' },
  ])('deny %j', async (input) => {
    expect(await decide(input, [rule('deny', '/etc/'), rule('allow', '/etc/')])).toBe('deny')
  })

  it('deny what a link leads to', async () => {
    const rules = [rule('allow', `${folder}/`), rule('deny', `${outside}/`)]
    for (const path of ['way-out/secret', 'secret-link', 'way-out/new'])
      expect(await decide({ file_path: `${inside}/${path}` }, rules)).toBe('deny')
    expect(await decide({ file_path: `${inside}/a.txt` }, rules)).toBe('allow')
  })

  it('deny what stands at the home folder', async () => {
    expect(await decide({ path: '~/.ssh/id' }, [rule('deny', '/home/of-nobody/.ssh/')])).toBe('deny')
  })

  it('see no place in a text that is written, and ask where there are too many', async () => {
    const rules = [rule('allow', `${inside}/`), rule('deny', '/etc/')]
    const file_path = `${inside}/a.txt`
    expect(await decide({ file_path, content: '/etc/passwd' }, rules)).toBe('allow')
    expect(await decide({ file_path, x: Array.from({ length: 100 }, (_, n) => `/${n}`) }, rules)).toBe('ask')
  })
})
