import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

export const EXAMPLE = join(import.meta.dirname, '../../examples/self-host')

export const readExample = (name: string): string => readFileSync(join(EXAMPLE, name), 'utf8')

/** Whether a program can be started here at all: each knows this option. */
export const hasProgram = (name: string): boolean => spawnSync(name, ['--version']).error === undefined

/** Runs a program to its end; what it printed. */
export function runProgram(
  name: string,
  args: readonly string[],
  options: { readonly cwd?: string; readonly env?: { readonly [name: string]: string } } = {},
): { readonly code: number | null; readonly said: string } {
  const { status, stdout, stderr } = spawnSync(name, args, {
    cwd: options.cwd ?? EXAMPLE,
    env: { ...process.env, ...options.env },
    encoding: 'utf8',
  })
  return { code: status, said: stdout + stderr }
}
