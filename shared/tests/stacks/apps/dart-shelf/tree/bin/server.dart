import 'package:shelf/shelf_io.dart' as io;

void main() => io.serve((request) => throw 'later', '0.0.0.0', 8080);
