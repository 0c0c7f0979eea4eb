import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { expect, test } from 'vitest'

import { writeSystemdUnit } from '../../src/daemon/service/systemd-unit.ts'
import { hasProgram, runProgram } from '../self-host/example.ts'

/** Of 10. A user's own manager can take away less than root's, and the daemon needs home and network. */
const MOST_EXPOSED = 7

test.skipIf(!hasProgram('systemd-analyze'))('the unit of the daemon is in order, with odd paths too', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark unit-'))
  try {
    const file = join(folder, 'tidemark-daemon.service')
    const launch = {
      command: [
        process.execPath,
        join(folder, '100% "$HOME"/tidemark.js'),
        '--home',
        `${folder}/h`,
        'daemon',
      ],
      env: { TIDEMARK_DATA_DIR: `${folder}/d` },
      errors: '',
    }
    writeFileSync(file, writeSystemdUnit(launch))
    // Its manager's own folder is not there where nobody is logged in.
    const verified = runProgram('systemd-analyze', ['verify', '--man=no', file])
    expect(verified).toEqual({ code: 0, said: '' })
    const { said } = runProgram('systemd-analyze', ['security', '--offline=true', file])
    const exposed = /exposure level for \S+: ([\d.]+)/.exec(said)?.[1]
    expect(Number(exposed), said).toBeLessThanOrEqual(MOST_EXPOSED)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
