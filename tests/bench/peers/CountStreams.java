import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/**
 * Kafka Streams: `java CountStreams BOOTSTRAP PREFIX WARM_UP GUARANTEE STATE_DIR`. Runs until SIGTERM.
 *
 * State in its RocksDB with a changelog; every other setting at its default.
 */
public final class CountStreams {
    private static final ObjectMapper JSON = new ObjectMapper();
    private static long seen = 0;

    public static void main(String[] arguments) throws Exception {
        String prefix = arguments[1];
        long warmUp = Long.parseLong(arguments[2]);
        Properties settings = new Properties();
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, arguments[0]);
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, prefix + "streams");
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, arguments[3]);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, arguments[4]);
        settings.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        settings.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.ByteArraySerde.class);
        Topology topology = new Topology();
        topology.addSource("numbers", prefix + "numbers.v1");
        topology.addProcessor("count", () -> new Count(warmUp), "numbers");
        topology.addStateStore(
            Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore("count"), Serdes.String(), Serdes.Long()),
            "count");
        topology.addSink("counts", prefix + "counts.v1", "count");
        KafkaStreams streams = new KafkaStreams(topology, settings);
        Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
        streams.start();
    }

    private static final class Count implements Processor<String, byte[], String, byte[]> {
        private final long warmUp;
        private ProcessorContext<String, byte[]> context;
        private KeyValueStore<String, Long> counts;

        Count(long warmUp) {
            this.warmUp = warmUp;
        }

        @Override
        public void init(ProcessorContext<String, byte[]> context) {
            this.context = context;
            this.counts = context.getStateStore("count");
        }

        @Override
        public void process(Record<String, byte[]> record) {
            try {
                // One stream thread by default, so nobody else counts.
                if (seen++ == warmUp) {
                    System.out.printf("FIRST %.6f %d%n", System.nanoTime() / 1e9, warmUp);
                    System.out.flush();
                }
                JsonNode number = JSON.readTree(record.value());
                Long before = counts.get(record.key());
                long count = (before == null ? 0 : before) + 1;
                counts.put(record.key(), count);
                ObjectNode output = JSON.createObjectNode();
                output.put("n", number.get("data").get("n").asLong());
                output.put("count", count);
                context.forward(record.withValue(JSON.writeValueAsBytes(output)));
            } catch (java.io.IOException error) {
                throw new java.io.UncheckedIOException(error);
            }
        }
    }
}
