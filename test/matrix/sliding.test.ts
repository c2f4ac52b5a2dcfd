import { describeMatrix } from './cells.ts';

describeMatrix('sliding');
