#!/usr/bin/env node
// Plain JavaScript that any Node parses: the version is checked before anything else is loaded, because the
// SQLite driver crashes on older ones without a word. The text is row `node_too_old` of the error table.
import { existsSync } from 'node:fs'

const [major, minor] = process.versions.node.split('.').map(Number)

if (major < 22 || (major === 22 && minor < 19)) {
  process.stderr.write(
    'error: This version of Node.js is too old (' +
      process.version +
      ')\n' +
      'Install Node.js 22.19 or newer.\n',
  )
  process.exitCode = 1
} else {
  // A checkout runs its sources, so that an old build never answers for them; a package has only the build.
  const source = new URL('../src/cli/main.ts', import.meta.url)
  void import(existsSync(source) ? source.href : new URL('../dist/cli/main.js', import.meta.url).href)
}
