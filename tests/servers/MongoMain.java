import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;
import de.bwaldvogel.mongo.bson.Document;
import de.bwaldvogel.mongo.exception.MongoServerError;
import io.netty.channel.Channel;
import java.net.InetSocketAddress;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;

/**
 * A server that speaks MongoDB's protocol, from mongo-java-server: MongoMain PORT, where 0 takes a free one. Prints "ready" and the port.
 * Beyond what mongo-java-server answers by itself:
 *
 * <ul>
 *   <li>wire version 13, since its own 8 is refused by pymongo;
 *   <li>hello, which newer drivers and lakekit ask for;
 *   <li>a UUID for each collection, another one after a drop;
 *   <li>it knows no users: each log-in fails, in the words MongoDB has for a wrong password;
 *   <li>$collStats, for the partitioners of the Spark connector.
 * </ul>
 */
public class MongoMain extends MemoryBackend {
  private final Map<String, UUID> uuids = new ConcurrentHashMap<>();

  @Override
  public Document handleCommand(Channel channel, String database, String command, Document query) {
    switch (command.toLowerCase()) {
      case "hello":
        return super.handleCommand(channel, database, "ismaster", query);
      case "saslstart":
        throw new MongoServerError(18, "AuthenticationFailed", "Authentication failed.");
      case "aggregate":
        if (firstStage(query).containsKey("$collStats")) {
          return collectionStatistics(channel, database, (String) query.get("aggregate"));
        }
        break;
      case "listcollections":
        return withUuids(database, super.handleCommand(channel, database, command, query));
      case "drop":
        uuids.remove(database + "." + query.get(command));
        break;
      case "dropdatabase":
        uuids.keySet().removeIf(name -> name.startsWith(database + "."));
        break;
      default:
        break;
    }
    return super.handleCommand(channel, database, command, query);
  }

  private static Document firstStage(Document query) {
    return query.get("pipeline") instanceof List<?> stages && !stages.isEmpty() ? (Document) stages.get(0) : new Document();
  }

  private Document collectionStatistics(Channel channel, String database, String collection) {
    Document found = super.handleCommand(channel, database, "collStats", new Document("collStats", collection));
    String namespace = database + "." + collection;
    Document row = new Document("ns", namespace).append("storageStats", found).append("count", found.get("count"));
    Document cursor = new Document("id", 0L).append("ns", namespace).append("firstBatch", List.of(row));
    return new Document("cursor", cursor).append("ok", 1.0);
  }

  private Document withUuids(String database, Document answer) {
    for (Object entry : (List<?>) ((Document) answer.get("cursor")).get("firstBatch")) {
      Document collection = (Document) entry;
      if (collection.get("info") instanceof Document info) {
        info.append("uuid", uuids.computeIfAbsent(database + "." + collection.get("name"), name -> UUID.randomUUID()));
      }
    }
    return answer;
  }

  public static void main(String[] arguments) {
    MongoMain backend = new MongoMain();
    backend.version(
        new MongoVersion() {
          public List<Integer> getVersionArray() {
            return List.of(5, 0, 0);
          }

          public int getWireVersion() {
            return 13;
          }
        });
    MongoServer server = new MongoServer(backend);
    server.bind("127.0.0.1", Integer.parseInt(arguments[0]));
    InetSocketAddress address = server.getLocalAddress();
    Runtime.getRuntime().addShutdownHook(new Thread(server::shutdownNow));
    System.out.println("ready " + address.getPort());
  }
}
