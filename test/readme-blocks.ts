import { spawn } from 'node:child_process'
import { mkdir, mkdtemp, open, readFile, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'

/** A fenced block of a document that is opened by its language and the word run. */
export interface Block {
  /** Where its fence stands, from 1. */
  readonly line: number
  readonly script: string
  /** What stands behind `run`. */
  readonly words: readonly string[]
}

export interface BlockResult {
  /** The shell's exit code; null when it had to be stopped. */
  readonly code: number | null
  /** All that it printed. */
  readonly said: string
}

export function listRunBlocks(markdown: string, language = 'bash'): readonly Block[] {
  const blocks: Block[] = []
  let open: { fence: string; line: number; words: readonly string[]; script: string[] } | null = null
  for (const [index, text] of markdown.split('\n').entries()) {
    const [, fence = '', info = ''] = /^\s*(`{3,}|~{3,})\s*(.*)$/.exec(text) ?? []
    if (open === null) {
      if (fence === '') continue
      open = { fence, line: index + 1, words: info.trim().split(/\s+/), script: [] }
    } else if (fence.startsWith(open.fence) && info === '') {
      const [name, run, ...words] = open.words
      if (name === language && run === 'run')
        blocks.push({ line: open.line, script: open.script.join('\n'), words })
      open = null
    } else open.script.push(text)
  }
  return blocks
}

/** A home folder of its own, in which the blocks of a document run one after the other. */
export interface Place extends AsyncDisposable {
  readonly home: string
  /** Stops the block after `limitMs`, 2 minutes if not given. */
  run(script: string, limitMs?: number): Promise<BlockResult>
}

/**
 * The place has `tidemark` on its path and no settings. What a block leaves running goes on for the next ones
 * and is stopped with the place.
 */
export async function openPlace(bin: string): Promise<Place> {
  const home = await mkdtemp(join(tmpdir(), 'tidemark-readme-'))
  const programs = join(home, '.programs')
  await mkdir(programs)
  await symlink(bin, join(programs, 'tidemark'))
  const kept = Object.entries(process.env).filter(
    ([name]) => !/^(TIDEMARK|CLANKERS|SYNC|XDG|npm)_/.test(name),
  )
  const env = {
    ...Object.fromEntries(kept),
    HOME: home,
    NO_COLOR: '1',
    PATH: [programs, dirname(process.execPath), process.env.PATH ?? ''].join(delimiter),
  }
  const groups: number[] = []
  const stop = (group: number): void => {
    try {
      process.kill(-group, 'SIGKILL')
    } catch {
      // Nothing of the group is left.
    }
  }

  return {
    home,
    async run(script, limitMs = 120_000) {
      const log = join(home, `.said-${groups.length}`)
      const file = await open(log, 'w')
      // Its own process group, and a file instead of a pipe: a child left running neither escapes nor holds us.
      const shell = spawn('bash', ['-euo', 'pipefail', '-c', script], {
        cwd: home,
        env,
        detached: true,
        stdio: ['ignore', file.fd, file.fd],
      })
      const group = shell.pid
      if (group !== undefined) groups.push(group)
      const code = await new Promise<number | null>((resolve, reject) => {
        const timer = setTimeout(() => {
          if (group !== undefined) stop(group)
        }, limitMs)
        shell.once('error', reject)
        shell.once('exit', (exitCode) => {
          clearTimeout(timer)
          resolve(exitCode)
        })
      })
      await file.close()
      return { code, said: await readFile(log, 'utf8') }
    },
    async [Symbol.asyncDispose]() {
      for (const group of groups) stop(group)
      await rm(home, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}
