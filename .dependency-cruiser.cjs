/**
 * Layers and doors: entry → use cases → concerns → settings → foundation.
 * A concern never imports another concern; a library has one door.
 */
const concerns = 'manifest|queue|throttle|api|image|storage|records|report|simulator';
const foundation = '^src/(model|errors|log|cells|owner|key-table|column|scratch|long-list)\\.ts$';

const door = (library, ...rooms) => ({
  name: `door-${library}`,
  severity: 'error',
  comment: `${library} is imported only in ${rooms.join(', ')}`,
  from: { path: '^(src|workers)/', pathNot: rooms },
  to: { path: `node_modules/${library}(/|$)` },
});

module.exports = {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'concerns-never-meet',
      severity: 'error',
      comment: 'They meet in src/batch only.',
      from: { path: `^src/(${concerns})/` },
      to: { path: `^src/(${concerns})/`, pathNot: '^src/$1/' },
    },
    {
      name: 'concerns-look-down',
      severity: 'error',
      from: { path: `^src/(${concerns})/` },
      to: {
        path: '^(src|workers|scripts)/',
        pathNot: [`^src/(${concerns})/`, '^src/config\\.ts$', foundation],
      },
    },
    {
      name: 'batch-looks-down',
      severity: 'error',
      from: { path: '^src/batch/' },
      to: {
        path: '^(src|workers|scripts)/',
        pathNot: ['^src/batch/', `^src/(${concerns})/`, '^src/config\\.ts$', foundation],
      },
    },
    {
      name: 'settings-look-down',
      severity: 'error',
      from: { path: '^src/config\\.ts$' },
      to: { path: '^(src|workers|scripts)/', pathNot: foundation },
    },
    {
      name: 'foundation-stands-alone',
      severity: 'error',
      comment:
        'model, errors, log, cells, owner, key-table, column, scratch, long-list import nothing of ours but each other.',
      from: { path: foundation },
      to: { path: '^(src|workers|scripts)/', pathNot: foundation },
    },
    {
      name: 'nobody-imports-entries',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/(bin|index)\\.ts$' },
      to: { path: '^(workers/|scripts/|src/(bin|cli|index)\\.ts$)' },
    },
    {
      name: 'interfaces-import-no-implementation',
      severity: 'error',
      from: { path: '^src/storage/storage\\.ts$' },
      to: { path: '^src/storage/' },
    },
    {
      name: 'no-orphans',
      severity: 'error',
      from: { orphan: true, path: '^src/', pathNot: ['\\.d\\.ts$'] },
      to: {},
    },
    door('bullmq', '^src/queue/'),
    door('ioredis', '^src/queue/', '^src/throttle/'),
    door('undici', '^src/api/'),
    door('sharp', '^src/image/', '^src/simulator/'),
    door('@aws-sdk', '^src/storage/s3'),
    door('commander', '^src/cli\\.ts$'),
    door('csv-parse', '^src/manifest/'),
    door('csv-stringify', '^src/report/'),
    door(
      'zod',
      '^src/owner\\.ts$',
      '^src/config\\.ts$',
      '^src/manifest/',
      '^src/records/',
      '^src/queue/',
      '^src/batch/',
    ),
    door('pino', '^src/log\\.ts$'),
    door('yaml', '^src/commands/config-file\\.ts$', '^src/manifest/'),
    door('yauzl', '^src/manifest/'),
    door('picomatch', '^src/manifest/'),
    door('icc', '^src/image/'),
    door('saxes', '^src/manifest/'),
    door('jsonc-parser', '^src/manifest/'),
    door('log-update', '^src/commands/display/'),
    door('cli-truncate', '^src/commands/display/'),
    door('string-width', '^src/commands/'),
  ],
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    doNotFollow: { path: 'node_modules' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'types', 'default'],
    },
  },
};
